#include "device/contract.h"

#include <cstddef>
#include <cstring>

namespace godwit::device {

using program::Dtype;
using program::Shape;

ContractTensor read_tensor(const godwit_tensor& tensor) {
  static constexpr Dtype dtypes[] = {Dtype::f32, Dtype::bf16, Dtype::i32};
  const auto& s = tensor.shape;
  const Shape shapes[] = {{}, {s[0]}, {s[0], s[1]}, {s[0], s[1], s[2]}, {s[0], s[1], s[2], s[3]}};
  return {tensor.name, tensor.role, tensor.offset, {dtypes[tensor.dtype], shapes[tensor.rank]}};
}

std::optional<ContractOp> read_op(const godwit_program& program, const godwit_op& op) {
  const program::Op* found = program::find_op(op.name);
  if (found == nullptr) return std::nullopt;
  const auto inputs = static_cast<std::size_t>(op.input_count), outputs = static_cast<std::size_t>(op.output_count);
  const bool fits = (found->variadic ? inputs >= found->inputs.size() : inputs == found->inputs.size()) &&
                    outputs == found->outputs.size() && static_cast<std::size_t>(op.attribute_count) == found->attributes.size();
  if (!fits) return std::nullopt;
  ContractOp read{found, {op.inputs, op.inputs + inputs}, {op.outputs, op.outputs + outputs}, {}, {}, {}};
  for (const std::int32_t id : read.inputs) read.input_types.push_back(read_tensor(program.tensors[id]).type);
  for (const std::int32_t id : read.outputs) read.output_types.push_back(read_tensor(program.tensors[id]).type);
  for (std::int32_t i = 0; i < op.attribute_count; ++i) {
    const godwit_attribute& attribute = op.attributes[i];
    if (attribute.is_real != 0) {
      read.attributes.push_back({attribute.name, attribute.real});
    } else {
      read.attributes.push_back({attribute.name, attribute.integer});
    }
  }
  return read;
}

void ContractOp::run(std::span<const void* const> inputs_at, std::span<void* const> outputs_at) const {
  const auto overlaps = [&](std::size_t output) {
    const auto* begin = static_cast<const std::byte*>(outputs_at[output]);
    const std::int64_t bytes = output_types[output].bytes();
    for (std::size_t i = 0; i < inputs_at.size(); ++i) {
      const auto* other = static_cast<const std::byte*>(inputs_at[i]);
      if (begin < other + input_types[i].bytes() && other < begin + bytes) return true;
    }
    return false;
  };
  std::vector<std::vector<std::byte>> aside(outputs_at.size());
  std::vector<void*> targets(outputs_at.begin(), outputs_at.end());
  for (std::size_t k = 0; k < targets.size(); ++k) {
    if (!overlaps(k)) continue;
    const auto* now = static_cast<const std::byte*>(outputs_at[k]);
    aside[k].assign(now, now + output_types[k].bytes());  // ops that write a part keep the rest
    targets[k] = aside[k].data();
  }
  program::run_op(*op, input_types, output_types, attributes, inputs_at, targets);
  for (std::size_t k = 0; k < targets.size(); ++k) {
    if (!aside[k].empty()) std::memcpy(outputs_at[k], aside[k].data(), aside[k].size());
  }
}

}  // namespace godwit::device
