// The words the canonical references are written in: segments, trees, dots, row reductions (docs/arithmetic.md, section 1).
//
// Everything is a template over Real: float is the definition of the bits; double runs the same loops for checking gradients against
// finite differences. Plain loops only; nothing here is shared with a backend.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/math.h"
#include "program/op.h"

namespace godwit::program {

inline constexpr std::int64_t segment_length = 512;
inline constexpr std::int64_t lane_count = 64;

template <typename Real>
Real fma_of(Real a, Real b, Real c) {
  return std::fma(a, b, c);
}

// math::exp and math::log have both types; a sigmoid in double is wanted by gradient checks alone.
template <typename Real>
Real sigmoid_of(Real x) {
  if constexpr (std::is_same_v<Real, float>) {
    return math::sigmoid(x);
  } else {
    return Real(1) / (Real(1) + math::exp(-x));
  }
}

// max of rule 1.3.
template <typename Real>
Real max_of(Real a, Real b) {
  if (a != a || b != b) return std::numeric_limits<Real>::quiet_NaN();
  const Real larger = a > b ? a : b;
  return larger == Real(0) ? Real(0) : larger;
}

// Joins leaves that arrive in order by the aligned binary tree, as a binary counter.
template <typename Node, typename Join>
class Tree {
 public:
  explicit Tree(Join join) : join_(join) {}
  void push(Node node) {
    for (std::uint64_t bit = count_; bit & 1; bit >>= 1) {
      node = join_(stack_.back(), node);
      stack_.pop_back();
    }
    stack_.push_back(node);
    ++count_;
  }
  [[nodiscard]] bool empty() const { return stack_.empty(); }
  // The root; at least one leaf must have arrived.
  [[nodiscard]] Node root() const {
    Node node = stack_.back();
    for (std::size_t i = stack_.size() - 1; i-- > 0;) node = join_(stack_[i], node);
    return node;
  }

 private:
  Join join_;
  std::vector<Node> stack_;
  std::uint64_t count_ = 0;
};

template <typename Real>
auto sum_tree() {
  auto join = [](Real a, Real b) { return a + b; };
  return Tree<Real, decltype(join)>(join);
}

// The root of a sum tree, finished: +0 if no leaf arrived.
template <typename Real, typename AnyTree>
Real finish(const AnyTree& tree) {
  return (tree.empty() ? Real(0) : tree.root()) + Real(0);
}

// SUM: x(i) for i in [0, n).
template <typename Real, typename X>
Real sum(std::int64_t n, X x) {
  auto tree = sum_tree<Real>();
  for (std::int64_t begin = 0; begin < n; begin += segment_length) {
    Real chain = 0;
    for (std::int64_t i = begin; i < n && i < begin + segment_length; ++i) chain = chain + x(i);
    tree.push(chain);
  }
  return finish<Real>(tree);
}

// One segment's chain of a dot product over i in [begin, end), begin a multiple of the segment length.
template <typename Real, typename A, typename B>
Real dot_chain(bool bf16, std::int64_t begin, std::int64_t end, A a, B b) {
  Real chain = 0;
  if constexpr (std::is_same_v<Real, float>) {
    if (bf16) {
      for (std::int64_t i = begin; i < end; i += 2) {
        if (i + 1 < end) chain = math::fma_flush(a(i + 1), b(i + 1), chain);
        chain = math::fma_flush(a(i), b(i), chain);
      }
      return chain;
    }
  }
  for (std::int64_t i = begin; i < end; ++i) chain = fma_of<Real>(a(i), b(i), chain);
  return chain;
}

// DOT: a(i)·b(i) for i in [0, n). `bf16` says that the operands are widened bf16.
template <typename Real, typename A, typename B>
Real dot(bool bf16, std::int64_t n, A a, B b) {
  auto tree = sum_tree<Real>();
  for (std::int64_t begin = 0; begin < n; begin += segment_length) {
    tree.push(dot_chain<Real>(bf16, begin, std::min(n, begin + segment_length), a, b));
  }
  return finish<Real>(tree);
}

// ROW over [begin, end) of one segment: `step(lane, i)` gives the lane with term i taken in. Not finished.
template <typename Real, typename Step>
Real row_segment(std::int64_t begin, std::int64_t end, Step step) {
  std::array<Real, lane_count> lanes{};
  for (std::int64_t i = begin; i < end; ++i) {
    Real& lane = lanes[static_cast<std::size_t>((i - begin) % lane_count)];
    lane = step(lane, i);
  }
  for (std::size_t half = lane_count / 2; half > 0; half /= 2) {
    for (std::size_t j = 0; j < half; ++j) lanes[j] = lanes[j] + lanes[j + half];
  }
  return lanes[0];
}

template <typename Real, typename Step>
Real row_reduce(std::int64_t n, Step step) {
  auto tree = sum_tree<Real>();
  for (std::int64_t begin = 0; begin < n; begin += segment_length) {
    tree.push(row_segment<Real>(begin, std::min(n, begin + segment_length), step));
  }
  return finish<Real>(tree);
}

// ROW of x(i), and of a(i)·b(i).
template <typename Real, typename X>
Real row_sum(std::int64_t n, X x) {
  return row_reduce<Real>(n, [&](Real lane, std::int64_t i) { return lane + x(i); });
}
template <typename Real, typename A, typename B>
Real row_dot(std::int64_t n, A a, B b) {
  return row_reduce<Real>(n, [&](Real lane, std::int64_t i) { return fma_of<Real>(a(i), b(i), lane); });
}

// TOKENS: `per_sample(first_row, row_count)` gives one sample's finished sum.
template <typename Real, typename PerSample>
Real over_samples(const std::int32_t* samples, std::int64_t count, PerSample per_sample) {
  auto tree = sum_tree<Real>();
  for (std::int64_t s = 0; s < count; ++s) {
    const std::int64_t rows = samples[s + 1] - samples[s];
    tree.push(rows > 0 ? per_sample(std::int64_t{samples[s]}, rows) : Real(0));
  }
  return finish<Real>(tree);
}

// A matmul operand or other tensor of f32 or bf16, read as Real. In double runs every tensor is stored as double and none is bf16.
template <typename Real>
class Operand {
 public:
  Operand(const Memory& memory, std::string_view input)
      : data_(memory.input_bytes(memory.input_index(input))), bf16_(memory.in(input).dtype == Dtype::bf16) {}
  Real operator[](std::int64_t i) const {
    if (bf16_) return static_cast<Real>(math::f32_from_bf16(static_cast<const std::uint16_t*>(data_)[i]));
    return static_cast<const Real*>(data_)[i];
  }
  [[nodiscard]] bool bf16() const { return bf16_; }

 private:
  const void* data_;
  bool bf16_;
};

// f32 tensors as Real.
template <typename Real>
const Real* real_in(const Memory& memory, std::string_view input) {
  return static_cast<const Real*>(static_cast<const void*>(memory.f32(input)));
}
template <typename Real>
Real* real_out(const Memory& memory, std::string_view output) {
  return static_cast<Real*>(static_cast<void*>(memory.f32_out(output)));
}

// A value as it enters a bf16 product (cast and widened again) or as it is.
template <typename Real>
Real rounded(Real x, bool bf16) {
  if constexpr (std::is_same_v<Real, float>) {
    if (bf16) return math::f32_from_bf16(math::bf16_from_f32(x));
  }
  return x;
}

}  // namespace godwit::program
