// A program as the contract hands it to a backend, read back into the words of the program room: for what stands on the backend's side of
// godwit/backend.h and executes, or checks, by the canonical references.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "godwit/backend.h"
#include "program/program.h"

namespace godwit::device {

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
