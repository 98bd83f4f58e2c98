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
#include <type_traits>
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

// ffma of rule 8 without hardware for it. The product of two bf16 has at most 16 bits and is exact in binary64. Where the sum is not, its
// two terms lie so far apart that the larger, which binary32 holds, is the result of either rounding: the second one does no harm.
inline float fma_flush(float a, float b, float c) {
  const auto no_subnormal = [](float x) {
    const auto word = std::bit_cast<std::uint32_t>(x);
    return (word & 0x7F800000u) == 0 ? std::bit_cast<float>(word & 0x80000000u) : x;
  };
  const double sum = static_cast<double>(no_subnormal(a)) * static_cast<double>(no_subnormal(b)) + static_cast<double>(no_subnormal(c));
  constexpr double tiny = 0x1p-126 - 0x1p-151;  // below it, 24 bits of any exponent round to less than 2^-126
  return static_cast<float>(std::fabs(sum) < tiny ? std::copysign(0.0, sum) : sum);
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

// What panels of the right operand hold: lanes as the chain meets them, or, where vectors meet bf16 widened, 32-bit lanes of a pair of
// indices, the odd one in the upper half, which are widened on the way into the sums: half the bytes. Chains in software wait for no
// memory.
struct Pairs {
  using Operand = std::uint16_t;
  static constexpr int indices_per_step = 2;
};
template <typename Chain>
inline constexpr bool widens = sizeof(typename Chain::Operand) == 2 && Chain::indices_per_step == 1 && Chain::flush_mode;
template <typename Chain>
using PanelOf = std::conditional_t<widens<Chain>, Pairs, Chain>;

template <typename Chain>
[[nodiscard]] constexpr std::int64_t steps_of(std::int64_t indices) {
  return (indices + Chain::indices_per_step - 1) / Chain::indices_per_step;
}

// Up to tile_rows rows of the left operand: the lane of row i at step s lies at row[i] + s · step bytes.
struct Rows {
  const std::byte* row[tile_rows];
  std::int64_t step;
};

// Where a segment's tile goes, and what comes before it in the tree.
struct Target {
  float* to = nullptr;
  std::int64_t stride = 0;         // floats between rows
  std::int64_t columns = 0;        // of the tile; the rest of its last vector is not written
  int rows = 0;                    // of the tile that are written
  bool bf16 = false;               // `to` and `stride` are of bf16: the sums are rounded
  const float* earlier = nullptr;  // the newest of `joins` finished subtrees, older ones before it, tile_floats apart
  int joins = 0;
};

// Keeps the arithmetic on x on its side of a change of the floating-point mode, of which the compiler knows nothing.
inline void pin(F32& x) {
#if defined(GODWIT_SIMD_512)
  asm volatile("" : "+v"(x.v) : : "memory");
#elif defined(GODWIT_SIMD_256)
  asm volatile("" : "+x"(x.a), "+x"(x.b) : : "memory");
#else
  asm volatile("" : "+m"(x) : : "memory");
#endif
}

template <bool flush>
struct Mode {};
#if defined(__x86_64__)
template <>
struct Mode<true> {
  FlushMode mode;
};
#endif

template <int rows, int vectors>
using Sums = F32[rows][vectors];

// The accumulators of a chain, from +0. Between begin and end only Chain::step touches them.
template <typename Chain, int rows, int vectors>
[[gnu::always_inline]] inline void begin(Sums<rows, vectors>& sum) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
      sum[i][v] = zero();
      if constexpr (Chain::flush_mode) pin(sum[i][v]);
    }
  }
}

template <typename Chain, int rows, int vectors>
[[gnu::always_inline]] inline void end(Sums<rows, vectors>& sum) {
  if constexpr (Chain::flush_mode) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) pin(sum[i][v]);
    }
  }
}

// Joins earlier subtrees, newest first, and writes the tile finished: on the way to the root that is free (rule 5).
template <int rows, int vectors>
[[gnu::always_inline]] inline void put(Sums<rows, vectors>& sum, const Target& target) {
  const float* earlier = target.earlier;
  for (int join = 0; join < target.joins; ++join, earlier -= tile_floats) {
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = load(earlier + (i * vectors + v) * lanes) + sum[i][v];
    }
  }
  if (target.bf16) {
    auto* first = reinterpret_cast<std::uint16_t*>(target.to);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) {
        const std::int64_t rest = i < target.rows ? target.columns - v * lanes : 0;
        std::uint16_t* to = first + i * target.stride + v * lanes;
        if (rest >= lanes) {
          store_bf16(to, sum[i][v] + zero());
        } else if (rest > 0) {
          store_bf16_first(to, sum[i][v] + zero(), static_cast<int>(rest));
        }
      }
    }
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    float* to = target.to + i * target.stride;
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v, to += lanes) {
      const std::int64_t rest = i < target.rows ? target.columns - v * lanes : 0;
      if (rest >= lanes) {
        store(to, sum[i][v] + zero());
      } else if (rest > 0) {
        store_first(to, sum[i][v] + zero(), static_cast<int>(rest));
      }
    }
  }
}

inline F32 broadcast(const std::byte* p) {
  float lane;
  std::memcpy(&lane, p, sizeof lane);
  return set1(lane);
}

// The chain over `steps` steps of each row of `a` (from step `first` on) and each column of `b`, whose steps are `vectors` vectors each,
// `b_step` floats apart.
template <typename Chain, int rows, int vectors>
[[gnu::noinline]] void multiply(const Rows& a, std::int64_t first, const float* b, std::int64_t b_step, std::int64_t steps,
                                const Target& target) {
  Sums<rows, vectors> sum;
  {
    [[maybe_unused]] const Mode<Chain::flush_mode> mode;
    begin<Chain, rows, vectors>(sum);
    const std::byte* row[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) row[i] = a.row[i] + first * a.step;
    const std::int64_t bytes = steps * a.step;
    for (std::int64_t at = 0; at != bytes; at += a.step) {
      F32 column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = load(b + v * lanes);
      b += b_step;
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const F32 lane = broadcast(row[i] + at);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = Chain::step(lane, column[v], sum[i][v]);
      }
    }
    end<Chain, rows, vectors>(sum);
  }
  put<rows, vectors>(sum, target);
}

// The same with panels of pairs. `first` is even; `b` is the place of that pair, `b_step` floats from a pair to the next.
template <typename Chain, int rows, int vectors>
[[gnu::noinline]] void multiply_pairs(const Rows& a, std::int64_t first, const float* b, std::int64_t b_step, std::int64_t steps,
                                      const Target& target) {
  Sums<rows, vectors> sum;
  {
    [[maybe_unused]] const Mode<Chain::flush_mode> mode;
    begin<Chain, rows, vectors>(sum);
    const std::byte* row[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) row[i] = a.row[i] + first * a.step;
    const auto add = [&](std::int64_t at, const auto& widened) __attribute__((always_inline)) {
      F32 column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = from_bits(widened(bits(load(b + v * lanes))));
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const F32 lane = broadcast(row[i] + at);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = Chain::step(lane, column[v], sum[i][v]);
      }
    };
    const auto upper = [](I32 pair) { return pair & set1i(static_cast<std::int32_t>(0xFFFF0000u)); };
    const auto lower = [](I32 pair) { return shift_left<16>(pair); };
    const std::int64_t bytes = steps / 2 * 2 * a.step;
    for (std::int64_t at = 0; at != bytes; at += 2 * a.step, b += b_step) {
      add(at, upper);
      add(at + a.step, lower);
    }
    if (steps % 2 != 0) add(bytes, lower);
    end<Chain, rows, vectors>(sum);
  }
  put<rows, vectors>(sum, target);
}

using Multiply = void (*)(const Rows& a, std::int64_t first, const float* b, std::int64_t b_step, std::int64_t steps, const Target& target);

template <typename Chain, int... i>
constexpr std::array<Multiply, sizeof...(i)> multiply_table(std::integer_sequence<int, i...>) {
  return {multiply<Chain, i / tile_vectors + 1, i % tile_vectors + 1>...};
}
template <typename Chain, int... i>
constexpr std::array<Multiply, sizeof...(i)> multiply_pairs_table(std::integer_sequence<int, i...>) {
  return {multiply_pairs<Chain, i / tile_vectors + 1, i % tile_vectors + 1>...};
}

// The part of a tile that is in use. Tiles in memory of our own are stored row by row, `vectors` vectors each.
struct TileShape {
  int rows = 0;     // 1 … tile_rows
  int vectors = 0;  // 1 … tile_vectors

  [[nodiscard]] std::int64_t width() const { return vectors * lanes; }
  [[nodiscard]] int floats() const { return rows * vectors * lanes; }
};

// `pairs`: b is a panel of pairs, of a chain that widens.
template <typename Chain>
[[nodiscard]] Multiply multiply_of(TileShape shape, bool pairs) {
  constexpr auto shapes = std::make_integer_sequence<int, tile_rows * tile_vectors>{};
  const auto index = static_cast<std::size_t>((shape.rows - 1) * tile_vectors + shape.vectors - 1);
  if constexpr (widens<Chain>) {
    static constexpr auto of_pairs = multiply_pairs_table<Chain>(shapes);
    if (pairs) return of_pairs[index];
  }
  static constexpr auto table = multiply_table<Chain>(shapes);
  return table[index];
}

// Where the finished tile of a whole sum goes.
struct Output {
  float* to = nullptr;
  std::int64_t stride = 0;
  std::int64_t columns = 0;
  int rows = 0;
  bool bf16 = false;  // Target::bf16

  // Asks for the lines that will be written to, so that they come while the last segment is summed.
  void fetch() const {
    const std::int64_t element = bf16 ? 2 : 4;
    auto* line = reinterpret_cast<const std::byte*>(to);
    for (int i = 0; i < rows; ++i, line += stride * element) {
      for (std::int64_t at = 0; at < columns * element; at += 64) __builtin_prefetch(line + at, 1);
    }
    asm volatile("");
  }
};

// The aligned binary tree over tiles. Leaves come with ascending indices below 2^54; absent ones are simply not given. Segments within
// samples are one tree: leaf (sample · 2^L + segment) with 2^L at least the segments of any sample, the missing ones absent.
//
// Kept is a stack of finished subtrees. Two leaves belong to children of a node at the level of the highest bit in which their indices
// differ; a node is complete as soon as its last possible leaf is there, or one that parts from it at a higher level.
class Tree {
 public:
  explicit Tree(TileShape shape) : shape_(shape) {}

  // Where leaf `index` goes: multiply() joins it with what is complete by it.
  [[nodiscard]] Target leaf(std::int64_t index) {
    close(index);
    const int levels = std::countr_one(static_cast<std::uint64_t>(index));
    int joins = 0;
    while (joins < size_ && level(size_ - 1 - joins, index) <= levels) ++joins;
    const Target target = joined(joins, {tile_[size_ - joins], shape_.width(), shape_.width(), shape_.rows});
    size_ -= joins;
    index_[size_++] = index;
    return target;
  }

  // The same for the last leaf: the whole sum goes to `root`.
  [[nodiscard]] Target last_leaf(std::int64_t index, const Output& root) {
    close(index);
    return joined(size_, root);
  }

 private:
  static constexpr int depth = 56;

  [[nodiscard]] int level(int place, std::int64_t index) const {
    return static_cast<int>(std::bit_width(static_cast<std::uint64_t>(index_[place] ^ index)));
  }
  [[nodiscard]] Target joined(int joins, const Output& output) const {
    return {.to = output.to,
            .stride = output.stride,
            .columns = output.columns,
            .rows = output.rows,
            .bf16 = output.bf16,
            .earlier = joins == 0 ? nullptr : tile_[size_ - 1],
            .joins = joins};
  }
  void close(std::int64_t index) {
    while (size_ >= 2 && level(size_ - 1, index) > level(size_ - 2, index_[size_ - 1])) {
      float* earlier = tile_[size_ - 2];
      const float* later = tile_[size_ - 1];
      for (int i = 0; i < shape_.floats(); i += lanes) store(earlier + i, load(earlier + i) + load(later + i));
      index_[size_ - 2] = index_[size_ - 1];
      --size_;
    }
  }

  TileShape shape_;
  int size_ = 0;
  std::int64_t index_[depth];
  alignas(64) float tile_[depth][tile_floats];
};

// A DOT over `indices` indices, its segments leaves of `tree` from `leaf` on; one_segment(first step, steps, target) sums each. With a root
// the last segment is the tree's last leaf; an empty sum is +0.
template <typename Chain, typename Segment>
void sum_segments(Tree& tree, std::int64_t leaf, std::int64_t indices, const Output* root, const Segment& one_segment) {
  constexpr std::int64_t stride = segment / Chain::indices_per_step;
  const std::int64_t steps = steps_of<Chain>(indices);
  std::int64_t at = 0;
  do {
    const bool last = at + stride >= steps;
    one_segment(at, last ? steps - at : stride, last && root != nullptr ? tree.last_leaf(leaf, *root) : tree.leaf(leaf));
    at += stride;
    ++leaf;
  } while (at < steps);
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
