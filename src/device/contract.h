// A program in the words of the contract, and read back from them: on this side of godwit/backend.h, for whoever hands programs to a
// backend; on the other side, for what executes, or checks, by the canonical references.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "godwit/backend.h"
#include "program/program.h"

namespace godwit::device {

// A program in the contract's own structures, with the memory they point to. Of `source` the names are not copied: it stays meanwhile.
struct ContractProgram {
  // Without a plan (null) tensors have no places: enough to ask for kernels.
  ContractProgram(const program::Program& source, const program::MemoryPlan* plan);
  ContractProgram(const ContractProgram&) = delete;
  ContractProgram& operator=(const ContractProgram&) = delete;

  std::vector<godwit_tensor> tensors;
  std::vector<std::vector<std::int32_t>> indices;
  std::vector<std::vector<godwit_attribute>> attributes;
  std::vector<std::string> op_names;
  std::vector<godwit_op> ops;
  godwit_program program{};
};

struct ContractTensor {
  std::string name;
  godwit_role role;
  std::int64_t offset;  // of temporary and derived tensors
  program::TensorType type;
};

struct ContractOp {
  const program::Op* op;
  std::vector<std::int32_t> inputs, outputs;
  std::vector<program::TensorType> input_types, output_types;
  program::Attributes attributes;

  // By the canonical reference. Outputs may lie in the memory of inputs, which references do not expect: those are made aside.
  void run(std::span<const void* const> inputs_at, std::span<void* const> outputs_at) const;
};

[[nodiscard]] ContractTensor read_tensor(const godwit_tensor& tensor);
// Empty where there is no such op, or the program gives it another number of tensors or attributes than it takes.
[[nodiscard]] std::optional<ContractOp> read_op(const godwit_program& program, const godwit_op& op);

}  // namespace godwit::device
