// What a program says about a tensor: element type, static shape, and who owns its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace godwit::program {

enum class Dtype : std::uint8_t { f32, bf16, i32 };

[[nodiscard]] constexpr std::int64_t dtype_bytes(Dtype dtype) {
  return dtype == Dtype::bf16 ? 2 : 4;
}
[[nodiscard]] std::string_view dtype_name(Dtype dtype);

// Up to four static dimensions, row-major. `rows()` is the product of all but the last dimension, `width()` the last.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> dimensions);

  [[nodiscard]] int rank() const { return rank_; }
  [[nodiscard]] std::int64_t operator[](int axis) const { return dimensions_[static_cast<std::size_t>(axis)]; }
  [[nodiscard]] std::int64_t count() const;
  [[nodiscard]] std::int64_t width() const { return rank_ == 0 ? 1 : dimensions_[static_cast<std::size_t>(rank_ - 1)]; }
  [[nodiscard]] std::int64_t rows() const { return width() == 0 ? 0 : count() / width(); }
  [[nodiscard]] std::string text() const;  // "[8, 64]"
  friend bool operator==(const Shape&, const Shape&) = default;

 private:
  std::array<std::int64_t, 4> dimensions_{};
  int rank_ = 0;
};

// Who owns a tensor's bytes, and when they change.
enum class Role : std::uint8_t {
  temporary,  // lives inside one run; placed in the arena by the memory plan
  derived,    // computed from state by the program's refresh part; kept between runs, placed in the persistent arena
  constant,   // written once, before the first run (rotary tables)
  input,      // written by the host before each run
  state,      // committed or long-lived bytes bound by the caller: weights, moments, caches
  output,     // bound by the caller, written by the run: losses, logits, gradients
};

enum class TensorId : std::int32_t { none = -1 };

struct TensorType {
  Dtype dtype = Dtype::f32;
  Shape shape;
  [[nodiscard]] std::int64_t bytes() const { return shape.count() * dtype_bytes(dtype); }
  friend bool operator==(const TensorType&, const TensorType&) = default;
};

struct Tensor {
  std::string name;
  TensorType type;
  Role role = Role::temporary;
};

}  // namespace godwit::program
