// Words that most op rooms share: types for their examples, what samples look like.
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

// Row offsets of samples: i32 [S+1].
[[nodiscard]] inline bool is_samples(const TensorType& type) {
  return type.dtype == Dtype::i32 && type.shape.rank() == 1 && type.shape[0] >= 1;
}

}  // namespace godwit::program
