#include "device/contract.h"

#include <cstddef>
#include <cstring>
#include <utility>
#include <variant>

namespace godwit::device {

using program::Dtype;
using program::Role;
using program::Shape;
using program::TensorId;

namespace {

godwit_role role_of(Role role) {
  switch (role) {
    case Role::temporary:
      return GODWIT_TEMPORARY;
    case Role::derived:
      return GODWIT_DERIVED;
    case Role::constant:
      return GODWIT_CONSTANT;
    case Role::input:
      return GODWIT_INPUT;
    case Role::state:
      return GODWIT_STATE;
    case Role::output:
      return GODWIT_OUTPUT;
  }
  return GODWIT_TEMPORARY;
}

godwit_dtype dtype_of(program::Dtype dtype) {
  switch (dtype) {
    case program::Dtype::f32:
      return GODWIT_F32;
    case program::Dtype::bf16:
      return GODWIT_BF16;
    case program::Dtype::i32:
      return GODWIT_I32;
  }
  return GODWIT_F32;
}

}  // namespace

ContractProgram::ContractProgram(const program::Program& source, const program::MemoryPlan* plan) {
  for (std::size_t i = 0; i < source.tensors.size(); ++i) {
    const program::Tensor& tensor = source.tensors[i];
    godwit_tensor c{};
    c.name = tensor.name.c_str();
    c.dtype = dtype_of(tensor.type.dtype);
    c.role = role_of(tensor.role);
    c.rank = tensor.type.shape.rank();
    for (int axis = 0; axis < c.rank; ++axis) c.shape[axis] = tensor.type.shape[axis];
    c.offset = plan != nullptr ? plan->offsets[i] : -1;
    tensors.push_back(c);
  }
  const auto indices_of = [&](const std::vector<TensorId>& ids) {
    std::vector<std::int32_t> list;
    for (const TensorId id : ids) list.push_back(static_cast<std::int32_t>(id));
    indices.push_back(std::move(list));
  };
  indices.reserve(2 * source.nodes.size());
  attributes.reserve(source.nodes.size());
  op_names.reserve(source.nodes.size());
  for (const program::Node& node : source.nodes) {
    indices_of(node.inputs);
    indices_of(node.outputs);
    std::vector<godwit_attribute> list;
    for (const program::Attribute& attribute : node.attributes) {
      godwit_attribute c{attribute.name.c_str(), 0, 0, 0.0};
      if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
        c.integer = *integer;
      } else {
        c.is_real = 1;
        c.real = std::get<double>(attribute.value);
      }
      list.push_back(c);
    }
    attributes.push_back(std::move(list));
    op_names.emplace_back(node.op->name);
    godwit_op op{};
    op.name = op_names.back().c_str();
    const auto& inputs = indices[indices.size() - 2];
    const auto& outputs = indices[indices.size() - 1];
    op.inputs = inputs.data();
    op.input_count = static_cast<std::int32_t>(inputs.size());
    op.outputs = outputs.data();
    op.output_count = static_cast<std::int32_t>(outputs.size());
    op.attributes = attributes.back().data();
    op.attribute_count = static_cast<std::int32_t>(attributes.back().size());
    ops.push_back(op);
  }
  program.struct_size = sizeof(godwit_program);
  program.name = source.name.c_str();
  program.profile = "exact/1";
  program.tensors = tensors.data();
  program.tensor_count = static_cast<std::int32_t>(tensors.size());
  program.ops = ops.data();
  program.op_count = static_cast<std::int32_t>(ops.size());
  program.refresh_count = static_cast<std::int32_t>(source.refresh_count);
  program.arena_bytes = plan != nullptr ? plan->arena_bytes : 0;
  program.persistent_bytes = plan != nullptr ? plan->persistent_bytes : 0;
}

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
