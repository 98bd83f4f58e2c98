// Row reductions and sum trees (docs/arithmetic.md, 1.4, 1.9): 64 lanes are four vectors; 512 terms a segment; segments join by the aligned
// binary tree.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "kernel.h"
#include "pool.h"
#include "simd.h"

namespace godwit::cpu::GODWIT_ISA {

inline constexpr std::int64_t segment_length = 512;

// The aligned binary tree over leaves that arrive in order, as a binary counter.
template <typename Value>
class SumTree {
 public:
  void push(Value value) {
    for (std::uint64_t bit = count_; bit & 1; bit >>= 1) value = stack_[--depth_] + value;
    stack_[depth_++] = value;
    ++count_;
  }
  [[nodiscard]] bool empty() const { return depth_ == 0; }
  [[nodiscard]] Value root() const {
    Value value = stack_[depth_ - 1];
    for (int i = depth_ - 2; i >= 0; --i) value = stack_[i] + value;
    return value;
  }

 private:
  Value stack_[48];
  int depth_ = 0;
  std::uint64_t count_ = 0;
};

// The same tree where most leaves are absent: leaves arrive with their index, ascending.
template <typename Value>
class SparseSumTree {
 public:
  void push(std::uint64_t leaf, Value value) {
    while (depth_ >= 2 && leaf >= end_of_last_pair()) join_last();
    stack_[depth_] = value;
    leaf_[depth_++] = leaf;
  }
  // The root, finished: +0 if no leaf arrived.
  [[nodiscard]] Value finish(Value zero_value) {
    while (depth_ >= 2) join_last();
    return depth_ == 0 ? zero_value : stack_[0] + zero_value;
  }

 private:
  // One past the last leaf of the smallest subtree that holds the last two entries.
  [[nodiscard]] std::uint64_t end_of_last_pair() const {
    const int level = 64 - std::countl_zero(leaf_[depth_ - 2] ^ leaf_[depth_ - 1]);
    return ((leaf_[depth_ - 1] >> level) + 1) << level;
  }
  void join_last() {
    stack_[depth_ - 2] = stack_[depth_ - 2] + stack_[depth_ - 1];
    --depth_;
  }

  Value stack_[64];
  std::uint64_t leaf_[64];
  int depth_ = 0;
};

// Sum over one vector's sixteen lanes by the tree 8, 4, 2, 1.
inline float tree_of_lanes(F32 x) {
  alignas(64) float v[lanes];
  store(v, x);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) v[i] = v[i] + v[i + half];
  }
  return v[0];
}

// The 64 lanes of one segment.
struct RowLanes {
  F32 v[4] = {zero(), zero(), zero(), zero()};
  [[nodiscard]] float join() const { return tree_of_lanes((v[0] + v[2]) + (v[1] + v[3])); }
};

// One segment of at most 512 terms, not finished. `step(lane, i, n)` takes n terms from index i on into a vector of lanes: terms beyond n
// must leave lanes unchanged (load_first gives +0 there).
template <typename Step>
inline float row_segment(std::int64_t begin, std::int64_t end, const Step& step) {
  RowLanes lane;
  std::int64_t i = begin;
  for (; i + 64 <= end; i += 64) {
    for (int k = 0; k < 4; ++k) lane.v[k] = step(lane.v[k], i + 16 * k, 16);
  }
  for (int k = 0; i < end; ++k, i += 16) lane.v[k] = step(lane.v[k], i, static_cast<int>(end - i < 16 ? end - i : 16));
  return lane.join();
}

// ROW over [0, n), finished.
template <typename Step>
inline float row_reduce(std::int64_t n, const Step& step) {
  if (n <= segment_length) return row_segment(0, n, step) + 0.0f;
  SumTree<float> tree;
  for (std::int64_t begin = 0; begin < n; begin += segment_length) {
    tree.push(row_segment(begin, begin + segment_length < n ? begin + segment_length : n, step));
  }
  return tree.root() + 0.0f;
}

inline F32 load_n(const float* p, int n) {
  return n == lanes ? load(p) : load_first(p, n);
}
inline void store_n(float* p, F32 x, int n) {
  if (n == lanes) {
    store(p, x);
  } else {
    store_first(p, x, n);
  }
}

// A result's elements, f32 or rounded to bf16 as its tensor is.
class Sink {
 public:
  explicit Sink(const View& view) : data_(view.data), bf16_(view.bf16()) {}

  void put(std::int64_t i, F32 x, int n) const {
    if (!bf16_) return store_n(static_cast<float*>(data_) + i, x, n);
    auto* to = static_cast<std::uint16_t*>(data_) + i;
    n == lanes ? store_bf16(to, x) : store_bf16_first(to, x, n);
  }
  void clear(std::int64_t begin, std::int64_t count) const {
    const std::int64_t bytes = bf16_ ? 2 : 4;
    std::memset(static_cast<std::byte*>(data_) + begin * bytes, 0, static_cast<std::size_t>(count * bytes));
  }

 private:
  void* data_;
  bool bf16_;
};

// ROW of a_i·b_i.
inline float row_dot(std::int64_t n, const float* a, const float* b) {
  return row_reduce(n, [&](F32 lane, std::int64_t i, int k) { return fma(load_n(a + i, k), load_n(b + i, k), lane); });
}

// body(i, n) over [0, count) in vectors of 16, the last shorter.
template <typename Body>
inline void vectors(std::int64_t count, const Body& body) {
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) body(i, lanes);
  if (i < count) body(i, static_cast<int>(count - i));
}

// body(begin, end) over [0, count) elements, in ranges that begin at multiples of 16, spread over the pool.
template <typename Body>
inline void elements(Pool& pool, std::int64_t count, const Body& body) {
  constexpr std::int64_t block = 1024;
  pool.ranges((count + block - 1) / block, 8,
              [&](std::int64_t first, std::int64_t last, int) { body(first * block, last * block < count ? last * block : count); });
}

// TOKENS for `width` columns [begin, end) at once: per sample the chain over its rows in segments of 512 and the tree over them, then the
// tree over samples, finished. `step(chain, row, column, n)` takes a row in.
template <typename Step>
inline void column_sums(const std::int32_t* samples, std::int64_t sample_count, std::int64_t begin, std::int64_t end, float* out,
                        const Step& step) {
  for (std::int64_t column = begin; column < end; column += lanes) {
    const int n = static_cast<int>(end - column < lanes ? end - column : lanes);
    SumTree<F32> over_samples;
    for (std::int64_t s = 0; s < sample_count; ++s) {
      SumTree<F32> over_segments;
      for (std::int64_t first_row = samples[s]; first_row < samples[s + 1]; first_row += segment_length) {
        const std::int64_t last = first_row + segment_length < samples[s + 1] ? first_row + segment_length : samples[s + 1];
        F32 chain = zero();
        for (std::int64_t row = first_row; row < last; ++row) chain = step(chain, row, column, n);
        over_segments.push(chain);
      }
      over_samples.push(over_segments.empty() ? zero() : over_segments.root() + zero());
    }
    store_n(out + column, (over_samples.empty() ? zero() : over_samples.root()) + zero(), n);
  }
}

}  // namespace godwit::cpu::GODWIT_ISA
