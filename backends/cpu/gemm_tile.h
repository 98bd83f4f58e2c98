// The innermost part of every matrix product: one tile of outputs held in registers while k passes by.
//
// A tile is up to tile_rows × panel_width outputs. Each of them is one chain over a segment of k, in the order of k: vectorising across
// outputs changes no bit. The segments' tiles join by the aligned binary tree (docs/arithmetic.md, section 1, rules 4, 7, 8 and 10).
//
// Operands come as *lanes* of 32 bits, of which a *step* of the chain takes one per row and one per column: a binary32, a bf16 widened,
// or a pair of bf16 (even index low) for the instruction that takes two links of the chain at once. gemm_pack.h makes them.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "simd.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// 6 × 4 accumulators, four columns vectors and a broadcast fit 32 registers; a 16-lane vector is two of AVX2's 16 registers, so 6 × 1
// there.
inline constexpr int tile_rows = 6;
#if defined(GODWIT_SIMD_512)
inline constexpr int tile_vectors = 4;
#else
inline constexpr int tile_vectors = 1;
#endif
inline constexpr int panel_width = tile_vectors * lanes;
inline constexpr int tile_floats = tile_rows * panel_width;
inline constexpr std::int64_t segment = 512;

// A chain says what its operands are in memory and what one step does to an accumulator.
struct F32Chain {
  using Operand = float;
  static constexpr int indices_per_step = 1;
  static constexpr bool flush_mode = false;
  static F32 step(F32 a, F32 b, F32 sum) { return fma(a, b, sum); }
};

#if defined(GODWIT_ISA_avx512_bf16)

struct Bf16Chain {
  using Operand = std::uint16_t;
  static constexpr int indices_per_step = 2;
  static constexpr bool flush_mode = false;  // vdpbf16ps flushes whatever MXCSR says
  static F32 step(F32 a, F32 b, F32 sum) { return {_mm512_dpbf16_ps(sum.v, std::bit_cast<__m512bh>(a.v), std::bit_cast<__m512bh>(b.v))}; }
};

#elif defined(GODWIT_SIMD_512) || defined(GODWIT_SIMD_256)

// Packed with the indices of each pair swapped, so that the chain meets the odd one first.
struct Bf16Chain {
  using Operand = std::uint16_t;
  static constexpr int indices_per_step = 1;
  static constexpr bool flush_mode = true;
  static F32 step(F32 a, F32 b, F32 sum) { return fma(a, b, sum); }
};

#else

// ffma of rule 8 without hardware for it. The product of two bf16 is exact in binary64; the sum is rounded there to odd, after which
// rounding to binary32 is as if it were the only one (53 ≥ 24 + 2).
inline float fma_flush(float a, float b, float c) {
  const auto no_subnormal = [](float x) {
    const auto word = std::bit_cast<std::uint32_t>(x);
    return (word & 0x7F800000u) == 0 ? std::bit_cast<float>(word & 0x80000000u) : x;
  };
  const double product = static_cast<double>(no_subnormal(a)) * static_cast<double>(no_subnormal(b));
  const double addend = no_subnormal(c);
  double sum = product + addend;
  if (!(std::fabs(sum) <= 0x1p1000)) return static_cast<float>(sum);
  const double back = sum - product;
  const double error = (product - (sum - back)) + (addend - back);
  if (error != 0.0 && (std::bit_cast<std::uint64_t>(sum) & 1u) == 0) {
    const bool away = (error > 0.0) == (sum > 0.0);
    sum = std::bit_cast<double>(std::bit_cast<std::uint64_t>(sum) + (away ? 1u : ~std::uint64_t{0}));
  }
  constexpr double tiny = 0x1p-126 - 0x1p-151;  // below it, 24 bits of any exponent round to less than 2^-126
  if (std::fabs(sum) < tiny) return std::copysign(0.0f, static_cast<float>(sum));
  return static_cast<float>(sum);
}

struct Bf16Chain {
  using Operand = std::uint16_t;
  static constexpr int indices_per_step = 1;
  static constexpr bool flush_mode = false;
  static F32 step(F32 a, F32 b, F32 sum) {
    GODWIT_LANES(i) sum.v[i] = fma_flush(a.v[i], b.v[i], sum.v[i]);
    return sum;
  }
};

#endif

template <typename Chain>
[[nodiscard]] constexpr std::int64_t steps_of(std::int64_t indices) {
  return (indices + Chain::indices_per_step - 1) / Chain::indices_per_step;
}

// Up to tile_rows rows of the left operand: the lane of row i at step s lies at row[i] + s · step bytes.
struct Rows {
  const std::byte* row[tile_rows];
  std::int64_t step;
};

// tile[i][j] = the chain over `steps` steps of row i of `a` (from step `first` on) and column j of `b`, whose steps are `vectors` vectors
// each.
template <typename Chain, int rows, int vectors>
[[gnu::noinline]] void multiply(const Rows& a, std::int64_t first, const float* b, std::int64_t steps, float* tile) {
  const std::byte* row[rows];
  F32 sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    row[i] = a.row[i] + first * a.step;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = zero();
  }
  const std::int64_t end = steps * a.step;
  for (std::int64_t at = 0; at != end; at += a.step) {
    F32 column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = load(b + v * lanes);
    b += vectors * lanes;
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      float lane;
      std::memcpy(&lane, row[i] + at, sizeof lane);
      const F32 all = set1(lane);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = Chain::step(all, column[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(tile + (i * vectors + v) * lanes, sum[i][v]);
  }
}

using Multiply = void (*)(const Rows& a, std::int64_t first, const float* b, std::int64_t steps, float* tile);

template <typename Chain>
inline constexpr auto multiply_of_shape = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Multiply, sizeof...(i)>{multiply<Chain, i / tile_vectors + 1, i % tile_vectors + 1>...};
}
(std::make_integer_sequence<int, tile_rows * tile_vectors>{});

// The part of a tile that is in use. Tiles are stored row by row, `vectors` vectors each.
struct TileShape {
  int rows = 0;     // 1 … tile_rows
  int vectors = 0;  // 1 … tile_vectors

  [[nodiscard]] int floats() const { return rows * vectors * lanes; }
};

// One segment: `steps` steps from step `first` of a, and from b.
template <typename Chain>
void sum_segment(TileShape shape, const Rows& a, std::int64_t first, const float* b, std::int64_t steps, float* tile) {
  const Multiply kernel = multiply_of_shape<Chain>[static_cast<std::size_t>((shape.rows - 1) * tile_vectors + shape.vectors - 1)];
  if constexpr (Chain::flush_mode) {
    const FlushMode mode;
    kernel(a, first, b, steps, tile);
  } else {
    kernel(a, first, b, steps, tile);
  }
}

// The aligned binary tree over tiles. Leaves come with ascending indices below 2^31; absent ones are simply not given.
//
// Kept is a stack of finished subtrees. Two leaves belong to children of a node at the level of the highest bit in which their indices
// differ; a node is closed as soon as a leaf comes that parts from it at a higher level.
class Tree {
 public:
  void clear(TileShape shape) {
    floats_ = shape.floats();
    size_ = 0;
  }

  // Where the caller writes leaf `index`, before any other call.
  [[nodiscard]] float* leaf(std::int64_t index) {
    while (size_ >= 2 && level(size_ - 1, index) > level(size_ - 2, index_[size_ - 1])) join();
    index_[size_] = index;
    return tile_[size_++];
  }

  // The sum, not finished; +0 if there was no leaf.
  [[nodiscard]] const float* root() {
    while (size_ >= 2) join();
    if (size_ == 0) std::memset(tile_[0], 0, sizeof tile_[0]);
    return tile_[0];
  }

 private:
  static constexpr int depth = 33;

  [[nodiscard]] int level(int place, std::int64_t index) const {
    return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(index_[place] ^ index)));
  }
  void join() {
    float* earlier = tile_[size_ - 2];
    const float* later = tile_[size_ - 1];
    for (int i = 0; i < floats_; i += lanes) store(earlier + i, load(earlier + i) + load(later + i));
    index_[size_ - 2] = index_[size_ - 1];
    --size_;
  }

  alignas(64) float tile_[depth][tile_floats];
  std::int64_t index_[depth];
  int size_ = 0;
  int floats_ = 0;
};

// A whole DOT over `indices` indices, not finished.
template <typename Chain>
void sum_segments(Tree& tree, TileShape shape, const Rows& a, std::int64_t first, const float* b, std::int64_t indices, float* tile) {
  if (indices <= segment) {
    sum_segment<Chain>(shape, a, first, b, steps_of<Chain>(indices), tile);
    return;
  }
  constexpr std::int64_t stride = segment / Chain::indices_per_step;
  const std::int64_t steps = steps_of<Chain>(indices);
  tree.clear(shape);
  for (std::int64_t at = 0; at < steps; at += stride) {
    const std::int64_t count = steps - at < stride ? steps - at : stride;
    sum_segment<Chain>(shape, a, first + at, b + at * shape.vectors * lanes, count, tree.leaf(at / stride));
  }
  std::memcpy(tile, tree.root(), static_cast<std::size_t>(shape.floats()) * sizeof(float));
}

// Finishes a tile and writes its first `columns` columns to rows `stride` apart.
inline void store_tile(TileShape shape, const float* tile, std::int64_t columns, float* c, std::int64_t stride) {
  for (int i = 0; i < shape.rows; ++i) {
    for (int v = 0; v < shape.vectors; ++v) {
      const F32 finished = load(tile + (i * shape.vectors + v) * lanes) + zero();
      const std::int64_t rest = columns - v * lanes;
      float* to = c + i * stride + v * lanes;
      if (rest >= lanes) {
        store(to, finished);
      } else {
        store_first(to, finished, static_cast<int>(rest));
      }
    }
  }
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
