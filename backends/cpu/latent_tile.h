// The products inside attention over latents: tiles of outputs, each output one chain over ascending indices (docs/arithmetic.md, rules 7
// and 8), as attention_tile.h has them. All heads of many rows share their right operand here, so it pays to lay both out for the product:
// the right one in panels of sixteen columns, word by word; of the left one a tile at a time is widened where bf16 needs it.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "attention_tile.h"

namespace godwit::cpu::GODWIT_ISA::attend::latent {

// 8 × 3 accumulators, three columns and a broadcast fit 32 registers; of AVX2's 16, two to a vector, 6 × 1 leave a column and a broadcast.
#if defined(GODWIT_SIMD_512)
inline constexpr int tile_rows = 8;
inline constexpr int tile_vectors = 3;
#else
inline constexpr int tile_rows = 6;
inline constexpr int tile_vectors = 1;
#endif

[[nodiscard]] inline int rows_of_tile(std::int64_t rest) {
  return static_cast<int>(std::min<std::int64_t>(tile_rows, rest));
}

// Where no instruction takes pairs of bf16, a word enters as two binary32, the odd index first.
template <typename Dot>
inline constexpr bool widened = Dot::per_word == 2 && Dot::flush_mode;

// Steps of a segment. A constant, so that a tile's left operand is addressed by one register.
template <typename Dot>
inline constexpr std::int64_t segment_steps = segment / Dot::per_word;

alignas(64) inline constexpr auto odd_halves = [] {
  std::array<Word, lanes> all{};
  all.fill(0xFFFF0000u);
  return all;
}();

struct Tile {
  const Word* a;  // row i from i · a_stride on; widened: i · segment, the odd indices', and segment / 2 behind them the even ones'
  std::int64_t a_stride;
  const Word* b;  // step k of vector v at v · b_panel + k · 16
  std::int64_t b_panel;
  std::int64_t steps;
  float* c;
  std::int64_t c_stride;
};

// Keeps the sums in registers where they just fit: GCC else fetches the second half's operands first and puts sums on the stack for it.
template <int rows, int vectors>
[[gnu::always_inline]] inline void hold([[maybe_unused]] F32 (&sum)[rows][vectors]) {
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) {
#if defined(GODWIT_SIMD_512)
      asm volatile("" : "+v"(sum[i][v].v));
#elif defined(GODWIT_SIMD_256)
      asm volatile("" : "+x"(sum[i][v].a), "+x"(sum[i][v].b));
#endif
    }
  }
}

template <typename Dot, int rows, int vectors>
[[gnu::noinline]] void multiply(const Tile& t) {
  F32 sum[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = zero();
  }
  const Word* b = t.b;
  if constexpr (widened<Dot>) {
    const auto* a = reinterpret_cast<const float*>(t.a);
    const Word* mask = odd_halves.data();
    for (const float* const end = a + t.steps; a != end; ++a, b += lanes) {
      asm volatile("" : "+r"(mask));  // it stays in memory: sums, columns and a broadcast need every register
      F32 column[vectors];
      const auto add = [&](int half) __attribute__((always_inline)) {
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
          const F32 all = set1(a[i * segment + half * segment / 2]);
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v) sum[i][v] = fma(all, column[v], sum[i][v]);
        }
      };
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = from_bits(load_words(b + v * t.b_panel) & load_words(mask));
      add(0);
      hold(sum);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = from_bits(shift_left<16>(load_words(b + v * t.b_panel)));
      add(1);
      hold(sum);
    }
  } else {
    const Word* row[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) row[i] = t.a + i * t.a_stride;
    for (std::int64_t k = 0; k < t.steps; ++k, b += lanes) {
      typename Dot::Operand column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = Dot::column(b + v * t.b_panel);
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) {
        const typename Dot::Operand all = Dot::row(row[i] + k);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = Dot::step(all, column[v], sum[i][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(t.c + i * t.c_stride + v * lanes, sum[i][v]);
  }
}

template <typename Dot>
inline constexpr auto multiply_of_shape = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<void (*)(const Tile&), sizeof...(i)>{multiply<Dot, i / tile_vectors + 1, i % tile_vectors + 1>...};
}
(std::make_integer_sequence<int, tile_rows * tile_vectors>{});

// One tile of `rows` (1 … tile_rows) by `vectors` (1 … tile_vectors).
template <typename Dot>
void multiply_tile(int rows, int vectors, const Tile& t) {
  [[maybe_unused]] const gemm::Mode<Dot::flush_mode> mode;
  multiply_of_shape<Dot>[static_cast<std::size_t>((rows - 1) * tile_vectors + vectors - 1)](t);
}

// The rows of a tile as its products read them, segment by segment of their indices.
template <typename Dot>
class LeftRows {
 public:
  // `longest`: the most elements of a row.
  LeftRows(Carve& carve, std::int64_t longest)
      : widened_(carve.take<Word>(widened<Dot> ? (longest + segment - 1) / segment * tile_rows * segment : 0)) {}

  // `words` [rows][stride], zeros up to a multiple of sixteen; they stay where they are while the tile is worked on.
  void set(const Word* words, std::int64_t stride, int rows, std::int64_t elements) {
    words_ = words;
    stride_ = stride;
    if constexpr (widened<Dot>) {
      const std::int64_t all = words_of<Dot>(elements);
      for (std::int64_t at = 0; at < all; at += lanes) {
        Word* const to = widened_ + at / segment_steps<Dot> * tile_rows * segment + at % segment_steps<Dot>;
        for (int i = 0; i < rows; ++i) {
          const I32 pairs = load_words(words + i * stride + at);
          store_words(to + i * segment, pairs & set1i(static_cast<std::int32_t>(0xFFFF0000u)));
          store_words(to + i * segment + segment / 2, shift_left<16>(pairs));
        }
      }
    }
  }
  [[nodiscard]] const Word* at(std::int64_t s) const {
    return widened<Dot> ? widened_ + s * tile_rows * segment : words_ + s * segment_steps<Dot>;
  }
  [[nodiscard]] std::int64_t stride() const { return stride_; }

 private:
  Word* widened_;
  const Word* words_ = nullptr;
  std::int64_t stride_ = 0;
};

// DOTs over `elements` indices, not finished: their segments' chains joined by the tree.
template <typename Dot>
void multiply_segments(int rows, int vectors, const LeftRows<Dot>& left, Tile t, std::int64_t elements) {
  const std::int64_t count = (elements + segment - 1) / segment;
  const std::int64_t steps = words_of<Dot>(elements);
  alignas(64) float stack[most_levels][tile_rows * tile_vectors * lanes];
  const std::int64_t stride = vectors * lanes;
  const auto join = [&](float* first, const float* second) {
    for (int i = 0; i < rows * vectors; ++i) store(first + i * lanes, load(first + i * lanes) + load(second + i * lanes));
  };
  int size = 0;
  for (std::int64_t s = 0; s < count; ++s) {
    Tile leaf = t;
    leaf.a = left.at(s);
    leaf.a_stride = left.stride();
    leaf.b += s * segment_steps<Dot> * lanes;
    leaf.steps = std::min(segment_steps<Dot>, steps - s * segment_steps<Dot>);
    if (count > 1) {
      leaf.c = stack[size++];
      leaf.c_stride = stride;
    }
    multiply_tile<Dot>(rows, vectors, leaf);
    for (std::int64_t bits = s; bits % 2 != 0; bits /= 2, --size) join(stack[size - 2], stack[size - 1]);
  }
  if (count == 1) return;
  for (; size > 1; --size) join(stack[size - 2], stack[size - 1]);
  for (int i = 0; i < rows; ++i) std::memcpy(t.c + i * t.c_stride, stack[0] + i * stride, static_cast<std::size_t>(stride) * sizeof(float));
}

}  // namespace godwit::cpu::GODWIT_ISA::attend::latent
