#include "program/tensor.h"

#include <algorithm>

#include "base/check.h"

namespace godwit::program {

std::string_view dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "f32";
    case Dtype::bf16:
      return "bf16";
    case Dtype::i32:
      return "i32";
  }
  return "?";
}

Shape::Shape(std::initializer_list<std::int64_t> dimensions) : rank_(static_cast<int>(dimensions.size())) {
  CHECK(dimensions.size() <= dimensions_.size(), "a tensor has at most 4 dimensions, not {}", dimensions.size());
  std::copy(dimensions.begin(), dimensions.end(), dimensions_.begin());
}

std::int64_t Shape::count() const {
  std::int64_t product = 1;
  for (int i = 0; i < rank_; ++i) product *= (*this)[i];
  return product;
}

std::string Shape::text() const {
  std::string text = "[";
  for (int i = 0; i < rank_; ++i) text += (i ? ", " : "") + std::to_string((*this)[i]);
  return text + "]";
}

}  // namespace godwit::program
