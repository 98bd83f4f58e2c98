// Brings operands into the lanes and steps of gemm_tile.h.
//
// The right operand lies in *panels* of up to panel_width columns: step after step, one lane per column. What a panel lacks in columns is
// filled with zeros whose products nobody stores; what the last step lacks in indices is zero on both sides.
#pragma once

#include "gemm_tile.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// A matrix in memory: rows `stride` bytes apart.
struct Matrix {
  const std::byte* data = nullptr;
  std::int64_t stride = 0;

  [[nodiscard]] const std::byte* row(std::int64_t i) const { return data + i * stride; }
};

struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;

  [[nodiscard]] std::int64_t count() const { return end - begin; }
};

inline const std::uint16_t* as_bf16(const std::byte* p) {
  return reinterpret_cast<const std::uint16_t*>(p);
}
inline const float* as_f32(const std::byte* p) {
  return reinterpret_cast<const float*>(p);
}
inline F32 some_bf16(const std::byte* p, int n) {
  return n == lanes ? load_bf16(as_bf16(p)) : load_bf16_first(as_bf16(p), n);
}
inline F32 some_f32(const std::byte* p, int n) {
  return n == lanes ? load(as_f32(p)) : load_first(as_f32(p), n);
}

// Which of `indices` indices a chain of single links takes at a step.
template <typename Chain>
[[nodiscard]] std::int64_t index_of(std::int64_t step, std::int64_t indices) {
  if constexpr (sizeof(typename Chain::Operand) == 4) {
    return step;
  } else {
    return (step ^ 1) < indices ? (step ^ 1) : step;  // of a pair the odd one first
  }
}

// The lanes of n ≤ 16 neighbouring columns at one step, where k runs down the rows of m and has `indices` indices.
template <typename Chain>
[[gnu::always_inline]] inline F32 lanes_down(Matrix m, std::int64_t first_column, int n, std::int64_t step, std::int64_t indices) {
  const std::int64_t offset = first_column * static_cast<std::int64_t>(sizeof(typename Chain::Operand));
  if constexpr (Chain::indices_per_step == 2) {
    const I32 even = shift_right<16>(bits(some_bf16(m.row(2 * step) + offset, n)));
    const bool paired = 2 * step + 1 < indices;
    const I32 odd = paired ? bits(some_bf16(m.row(2 * step + 1) + offset, n)) : set1i(0);
    return from_bits(even | odd);
  } else if constexpr (sizeof(typename Chain::Operand) == 2) {
    return some_bf16(m.row(index_of<Chain>(step, indices)) + offset, n);
  } else {
    return some_f32(m.row(step) + offset, n);
  }
}

inline int part(std::int64_t rest) {
  return rest < lanes ? static_cast<int>(rest < 0 ? 0 : rest) : lanes;
}

// How a panel is written: to be used at once, or by another op when no cache holds it any more.
enum class Written : std::uint8_t { cached, streaming };

template <Written how>
[[gnu::always_inline]] inline void write(float* to, F32 x) {
  how == Written::cached ? store(to, x) : store_streaming(to, x);
}

// A panel from a matrix [indices, columns], its steps in `range`. `panel` is the place of step 0.
template <typename Chain, Written how = Written::cached>
void pack_down(Matrix m, std::int64_t indices, Range columns, Range range, float* panel) {
  const int vectors = static_cast<int>((columns.count() + lanes - 1) / lanes);
  for (std::int64_t step = range.begin; step < range.end; ++step) {
    float* to = panel + step * vectors * lanes;
    for (int v = 0; v < vectors; ++v) {
      const std::int64_t column = columns.begin + v * lanes;
      write<how>(to + v * lanes, lanes_down<Chain>(m, column, part(columns.end - column), step, indices));
    }
  }
}

[[gnu::always_inline]] inline void transpose(I32 (&r)[lanes]) {
#if defined(GODWIT_SIMD_512)
  __m512i t[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i].v, r[i + 1].v);
    t[i + 1] = _mm512_unpackhi_epi32(r[i].v, r[i + 1].v);
  }
  __m512i u[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  // u[4g + j] holds, in its four quarters q, rows 4g … 4g+3 of column 4q + j: a 4×4 transpose of quarters is left.
#pragma GCC unroll 16
  for (int j = 0; j < 4; ++j) {
    const __m512i low01 = _mm512_shuffle_i32x4(u[j], u[j + 4], 0x44);
    const __m512i high01 = _mm512_shuffle_i32x4(u[j], u[j + 4], 0xEE);
    const __m512i low23 = _mm512_shuffle_i32x4(u[j + 8], u[j + 12], 0x44);
    const __m512i high23 = _mm512_shuffle_i32x4(u[j + 8], u[j + 12], 0xEE);
    r[j].v = _mm512_shuffle_i32x4(low01, low23, 0x88);
    r[j + 4].v = _mm512_shuffle_i32x4(low01, low23, 0xDD);
    r[j + 8].v = _mm512_shuffle_i32x4(high01, high23, 0x88);
    r[j + 12].v = _mm512_shuffle_i32x4(high01, high23, 0xDD);
  }
#elif defined(GODWIT_SIMD_256)
  const auto eight = [](__m256i(&m)[8]) {
    __m256i t[8];
#pragma GCC unroll 16
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_epi32(m[i], m[i + 1]);
      t[i + 1] = _mm256_unpackhi_epi32(m[i], m[i + 1]);
    }
#pragma GCC unroll 16
    for (int g = 0; g < 2; ++g) {
      m[4 * g] = _mm256_unpacklo_epi64(t[4 * g], t[4 * g + 2]);
      m[4 * g + 1] = _mm256_unpackhi_epi64(t[4 * g], t[4 * g + 2]);
      m[4 * g + 2] = _mm256_unpacklo_epi64(t[4 * g + 1], t[4 * g + 3]);
      m[4 * g + 3] = _mm256_unpackhi_epi64(t[4 * g + 1], t[4 * g + 3]);
    }
#pragma GCC unroll 16
    for (int j = 0; j < 4; ++j) {
      const __m256i low = _mm256_permute2x128_si256(m[j], m[j + 4], 0x20);
      const __m256i high = _mm256_permute2x128_si256(m[j], m[j + 4], 0x31);
      m[j] = low;
      m[j + 4] = high;
    }
  };
  __m256i quarter[2][2][8];  // [rows][columns]
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    quarter[i / 8][0][i % 8] = r[i].a;
    quarter[i / 8][1][i % 8] = r[i].b;
  }
#pragma GCC unroll 16
  for (auto& rows : quarter) {
#pragma GCC unroll 16
    for (auto& block : rows) eight(block);
  }
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    r[i].a = quarter[0][i / 8][i % 8];
    r[i].b = quarter[1][i / 8][i % 8];
  }
#else
  for (int i = 0; i < lanes; ++i) {
    for (int j = 0; j < i; ++j) std::swap(r[i].v[j], r[j].v[i]);
  }
#endif
}

// Sixteen rows of `n` ≤ 16 words to columns: word w of row j to to[w · stride + j].
[[gnu::always_inline]] inline void transpose_rows(const std::int32_t* const (&rows)[lanes], int n, std::int32_t* to, std::int64_t stride) {
#if defined(GODWIT_SIMD_256)
  // Four words of a row are loaded beside those of the row four below: what is left fits into the registers and stays within halves.
  if (n % 4 == 0) {
    for (int j = 0; j < lanes; j += 8) {
      for (int w = 0; w < n; w += 4) {
        const auto four = [&](int i) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[j + i] + w)); };
        const auto two = [&](int i) { return _mm256_inserti128_si256(_mm256_castsi128_si256(four(i)), four(i + 4), 1); };
        const __m256i a = two(0), b = two(1), c = two(2), d = two(3);
        const __m256i low_ab = _mm256_unpacklo_epi32(a, b), high_ab = _mm256_unpackhi_epi32(a, b);
        const __m256i low_cd = _mm256_unpacklo_epi32(c, d), high_cd = _mm256_unpackhi_epi32(c, d);
        const auto put = [&](int i, __m256i column) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + (w + i) * stride + j), column); };
        put(0, _mm256_unpacklo_epi64(low_ab, low_cd));
        put(1, _mm256_unpackhi_epi64(low_ab, low_cd));
        put(2, _mm256_unpacklo_epi64(high_ab, high_cd));
        put(3, _mm256_unpackhi_epi64(high_ab, high_cd));
      }
    }
    return;
  }
#endif
  I32 block[lanes];
  for (int j = 0; j < lanes; ++j) {
    const auto* from = reinterpret_cast<const float*>(rows[j]);
    block[j] = bits(n == lanes ? load(from) : load_first(from, n));
  }
  transpose(block);
  for (int i = 0; i < n; ++i) storei(to + i * stride, block[i]);
}

// A panel of pairs, `width` floats a step, as one of widened lanes.
inline void widen_pairs(const float* pairs, std::int64_t width, std::int64_t steps, float* to) {
  const auto widened = [&](std::int64_t pair, float* upper, float* lower) {
    for (std::int64_t i = 0; i < width; i += lanes) {
      const I32 both = bits(load(pairs + pair * width + i));
      if (upper != nullptr) store(upper + i, from_bits(both & set1i(static_cast<std::int32_t>(0xFFFF0000u))));
      store(lower + i, from_bits(shift_left<16>(both)));
    }
  };
  for (std::int64_t pair = 0; pair < steps / 2; ++pair) widened(pair, to + 2 * pair * width, to + (2 * pair + 1) * width);
  if (steps % 2 != 0) widened(steps / 2, nullptr, to + (steps - 1) * width);
}

// How many steps of a chain 32 bits along a row of k hold, and sixteen times that.
template <typename Chain>
inline constexpr std::int64_t steps_per_lane = 4 / static_cast<std::int64_t>(sizeof(typename Chain::Operand)) / Chain::indices_per_step;
template <typename Chain>
inline constexpr std::int64_t steps_per_block = lanes* steps_per_lane<Chain>;

// body(step, lanes of n ≤ 16 neighbouring columns) for the steps in `range`, at most a block; m is [columns, indices], range.begin a
// multiple of a block's steps.
template <typename Chain, typename Body>
[[gnu::always_inline]] inline void block_across(Matrix m, std::int64_t first_column, int n, std::int64_t indices, Range range,
                                                const Body& body) {
  const std::int64_t first_lane = range.begin / steps_per_lane<Chain>;
  const std::int64_t rest = indices * static_cast<std::int64_t>(sizeof(typename Chain::Operand)) - first_lane * 4;
  I32 block[lanes];
  if (n == lanes && rest >= lanes * 4) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) block[i] = loadi(reinterpret_cast<const std::int32_t*>(m.row(first_column + i) + first_lane * 4));
  } else {
    for (int i = 0; i < lanes; ++i) {
      std::int32_t some[lanes] = {};
      if (i < n) std::memcpy(some, m.row(first_column + i) + first_lane * 4, static_cast<std::size_t>(rest < lanes * 4 ? rest : lanes * 4));
      block[i] = loadi(some);
    }
  }
  transpose(block);
  const auto one_lane = [&](int i) __attribute__((always_inline)) {
    if constexpr (steps_per_lane<Chain> == 1) {
      body(first_lane + i, from_bits(block[i]));
    } else {
      const std::int64_t step = 2 * (first_lane + i);
      const bool paired = step + 1 < indices;
      if (paired) body(step, from_bits(block[i] & set1i(static_cast<std::int32_t>(0xFFFF0000u))));
      body(paired ? step + 1 : step, from_bits(shift_left<16>(block[i])));
    }
  };
  if (range.count() == steps_per_block<Chain>) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) one_lane(i);
  } else {
    const int count = static_cast<int>((range.count() + steps_per_lane<Chain> - 1) / steps_per_lane<Chain>);
    for (int i = 0; i < count; ++i) one_lane(i);
  }
}

// A panel from the transposed matrix [columns, indices].
template <typename Chain, Written how = Written::cached>
void pack_across(Matrix m, std::int64_t indices, Range columns, Range range, float* panel) {
  const int vectors = static_cast<int>((columns.count() + lanes - 1) / lanes);
  for (int v = 0; v < vectors; ++v) {
    const std::int64_t column = columns.begin + v * lanes;
    for (std::int64_t at = range.begin; at < range.end; at += steps_per_block<Chain>) {
      const std::int64_t rest = range.end - at;
      block_across<Chain>(
          m, column, part(columns.end - column), indices, {at, at + (rest < steps_per_block<Chain> ? rest : steps_per_block<Chain>)},
          [&](std::int64_t step, F32 x) __attribute__((always_inline)) { write<how>(panel + (step * vectors + v) * lanes, x); });
    }
  }
}

// Whether rows whose k lies along memory can be read as lanes where they are.
template <typename Chain>
[[nodiscard]] bool lanes_in_place(std::int64_t indices) {
  return sizeof(typename Chain::Operand) == 4 || (Chain::indices_per_step == 2 && indices % 2 == 0);
}

// One row of the left operand whose k lies along memory.
template <typename Chain>
void pack_row(const std::byte* row, std::int64_t indices, float* to) {
  if constexpr (Chain::indices_per_step == 1) {
    const auto widened = [&](std::int64_t i) {
      std::uint16_t x;
      std::memcpy(&x, row + 2 * i, sizeof x);
      return static_cast<std::uint32_t>(x) << 16;
    };
    for (std::int64_t i = 0; i + 1 < indices; i += 2) {
      const std::uint32_t pair[2] = {widened(i + 1), widened(i)};
      std::memcpy(to + i, pair, sizeof pair);
    }
    if (indices % 2 != 0) {
      const std::uint32_t last = widened(indices - 1);
      std::memcpy(to + indices - 1, &last, sizeof last);
    }
  } else {
    std::memset(to + indices / 2, 0, sizeof(float));
    std::memcpy(to, row, static_cast<std::size_t>(2 * indices));
  }
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
