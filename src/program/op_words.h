// Words that most op rooms share: types for their examples, the cost of an op that streams its operands once.
#pragma once

#include "program/op.h"

namespace godwit::program {

[[nodiscard]] inline TensorType f32_type(const Shape& shape) {
  return {Dtype::f32, shape};
}
[[nodiscard]] inline TensorType bf16_type(const Shape& shape) {
  return {Dtype::bf16, shape};
}
[[nodiscard]] inline TensorType i32_type(const Shape& shape) {
  return {Dtype::i32, shape};
}

// Every input read once, every output written once.
[[nodiscard]] inline Cost streaming_cost(const Instance& instance, double flops) {
  Cost cost{.flops = flops};
  for (const TensorType& type : instance.inputs()) cost.bytes += static_cast<double>(type.bytes());
  for (const TensorType& type : instance.outputs()) cost.bytes += static_cast<double>(type.bytes());
  return cost;
}
// The same with so many operations for each element of `counted`.
[[nodiscard]] inline Cost streaming_cost(const Instance& instance, const TensorType& counted, double flops_per_element) {
  return streaming_cost(instance, flops_per_element * static_cast<double>(counted.shape.count()));
}

// Row offsets of samples: i32 [S+1].
[[nodiscard]] inline bool is_samples(const TensorType& type) {
  return type.dtype == Dtype::i32 && type.shape.rank() == 1 && type.shape[0] >= 1;
}

}  // namespace godwit::program
