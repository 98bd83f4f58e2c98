// The products inside attention: tiles of outputs, each output one chain over ascending indices (docs/arithmetic.md, rules 7 and 8).
//
// Operands are *words* of 32 bits: one f32, or a pair of bf16 with the even index in the low half. The left operand gives one word for
// each row at every step, the right one a vector of words for the columns. Unlike a matmul's (gemm_tile.h) the operands are small, made
// here, and used at once, so their layout is one for every instruction set; and a chain may go on where an earlier product left it.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "functions.h"
#include "gemm_pack.h"
#include "gemm_tile.h"
#include "simd.h"
#include "workspace.h"

namespace godwit::cpu::GODWIT_ISA::attend {

using Word = std::uint32_t;

inline constexpr std::int64_t segment = 512;
// Keys of one panel of the transposed operand: two vectors.
inline constexpr std::int64_t panel_keys = 32;
// Query rows worked on together: their scores against a segment stay in L2, and a key panel in L1 serves them all.
inline constexpr std::int64_t block_rows = 32;
// A row of scores: a segment and a cache line more, so that rows do not fall into the same cache sets.
inline constexpr std::int64_t score_stride = segment + 16;

// 8 × 3 accumulators, three columns and a broadcast fit 32 registers; a 16-lane vector is two of AVX2's 16 registers.
#if defined(GODWIT_SIMD_512)
inline constexpr int tile_rows = 8;
inline constexpr int tile_vectors = 3;
#else
inline constexpr int tile_rows = 4;
inline constexpr int tile_vectors = 1;
#endif

inline I32 load_words(const Word* p) {
  return loadi(reinterpret_cast<const std::int32_t*>(p));
}
inline void store_words(Word* p, I32 x) {
  storei(reinterpret_cast<std::int32_t*>(p), x);
}
// Sixteen rows of `n` ≤ 16 words, row(i) the first of one, to columns: word w of row i to to[w · stride + i].
template <typename Row>
[[gnu::always_inline]] inline void transpose_words(const Row& row, int n, Word* to, std::int64_t stride) {
  const std::int32_t* rows[lanes];
  for (int i = 0; i < lanes; ++i) rows[i] = reinterpret_cast<const std::int32_t*>(row(i));
  gemm::transpose_rows(rows, n, reinterpret_cast<std::int32_t*>(to), stride);
}
inline Word word_at(const Word* p) {
  Word word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

// A dot says what its words hold and what one step does to the accumulators. `down` is the columns' operand of a step that runs down rows
// in memory, `stride` elements apart; without `both` only the first of a pair of rows is there.
struct F32Dot {
  using Element = float;
  static constexpr std::int64_t per_word = 1;
  static constexpr bool flush_mode = false;
  using Operand = F32;
  static Operand column(const Word* p) { return from_bits(load_words(p)); }
  static Operand row(const Word* p) { return set1(std::bit_cast<float>(word_at(p))); }
  static Operand down(const float* from, std::int64_t, bool) { return load(from); }
  static F32 step(Operand a, Operand b, F32 sum) { return fma(a, b, sum); }
};

struct Bf16Dot {
  using Element = std::uint16_t;
  static constexpr std::int64_t per_word = 2;
#if defined(GODWIT_ISA_avx512_bf16)
  static constexpr bool flush_mode = false;  // vdpbf16ps flushes whatever MXCSR says
  using Operand = I32;
  static Operand column(const Word* p) {
    return load_words(p);
  }
  static Operand row(const Word* p) {
    return set1i(static_cast<std::int32_t>(word_at(p)));
  }
  static Operand down(const std::uint16_t* from, std::int64_t stride, bool both) {
    return shift_right<16>(bits(load_bf16(from))) | (both ? bits(load_bf16(from + stride)) : set1i(0));
  }
  static F32 step(Operand a, Operand b, F32 sum) {
    return {_mm512_dpbf16_ps(sum.v, std::bit_cast<__m512bh>(a.v), std::bit_cast<__m512bh>(b.v))};
  }
#else
  struct Operand {
    F32 even, odd;
  };
  static Operand widen(I32 words) {
    return {from_bits(shift_left<16>(words)), from_bits(words & set1i(static_cast<std::int32_t>(0xFFFF0000u)))};
  }
  static Operand column(const Word* p) {
    return widen(load_words(p));
  }
  static Operand down(const std::uint16_t* from, std::int64_t stride, bool both) {
    return {load_bf16(from), both ? load_bf16(from + stride) : zero()};
  }
#if defined(GODWIT_SIMD_512) || defined(GODWIT_SIMD_256)
  static constexpr bool flush_mode = true;
  static Operand row(const Word* p) {
    const Word word = word_at(p);
    return {set1(std::bit_cast<float>(word << 16)), set1(std::bit_cast<float>(word & 0xFFFF0000u))};
  }
  static F32 step(Operand a, Operand b, F32 sum) {
    return fma(a.even, b.even, fma(a.odd, b.odd, sum));
  }
#else
  static constexpr bool flush_mode = false;
  static Operand row(const Word* p) {
    return widen(set1i(static_cast<std::int32_t>(word_at(p))));
  }
  static F32 step(Operand a, Operand b, F32 sum) {
    GODWIT_LANES(i) sum.v[i] = gemm::fma_flush(a.even.v[i], b.even.v[i], gemm::fma_flush(a.odd.v[i], b.odd.v[i], sum.v[i]));
    return sum;
  }
#endif
#endif
};

template <typename Dot>
[[nodiscard]] constexpr std::int64_t words_of(std::int64_t elements) {
  return (elements + Dot::per_word - 1) / Dot::per_word;
}

// How the left operand lies: word (row i, step k) at i · stride + k, or at k · stride + i.
enum class Left : std::uint8_t { by_row, by_step };

struct Product {
  const Word* a;
  std::int64_t a_stride;
  const Word* b;  // step k's columns at k · b_stride
  std::int64_t b_stride;
  std::int64_t steps;
  float* c;  // row i's columns at i · c_stride
  std::int64_t c_stride;
  bool resume;  // the chains go on from what c holds, else from +0
};

template <typename Dot, Left left, int rows, int vectors>
[[gnu::noinline]] void multiply(const Product& p) {
  F32 sum[rows][vectors];
  const Word* row[rows];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
    row[i] = p.a + (left == Left::by_row ? i * p.a_stride : i);
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) sum[i][v] = p.resume ? load(p.c + i * p.c_stride + v * lanes) : zero();
  }
  const std::int64_t step = left == Left::by_row ? 1 : p.a_stride;
  const std::int64_t end = p.steps * step;
  const Word* b = p.b;
  for (std::int64_t at = 0; at != end; at += step) {
    typename Dot::Operand column[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) column[v] = Dot::column(b + v * lanes);
    b += p.b_stride;
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const typename Dot::Operand all = Dot::row(left == Left::by_row ? row[i] + at : row[0] + at + i);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[i][v] = Dot::step(all, column[v], sum[i][v]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) store(p.c + i * p.c_stride + v * lanes, sum[i][v]);
  }
}

// The largest tile that fits what is left: 8, 4, 2 or 1 rows.
[[nodiscard]] inline int rows_of_tile(std::int64_t rest) {
  int rows = tile_rows;
  while (rows > rest) rows /= 2;
  return rows;
}
[[nodiscard]] inline int vectors_of_tile(std::int64_t rest) {
  if (tile_vectors == 3 && rest == 4) return 2;
  return rest < tile_vectors ? static_cast<int>(rest) : tile_vectors;
}

using Multiply = void (*)(const Product&);

template <typename Dot, Left left>
inline constexpr auto multiply_of_shape = []<int... i>(std::integer_sequence<int, i...>) {
  return std::array<Multiply, sizeof...(i)>{multiply<Dot, left, 1 << (i / tile_vectors), i % tile_vectors + 1>...};
}
(std::make_integer_sequence<int, std::bit_width(static_cast<unsigned>(tile_rows)) * tile_vectors>{});

// One tile of `rows` (1, 2, 4 or 8) by `vectors` (1 … tile_vectors).
template <typename Dot, Left left>
void multiply_tile(int rows, int vectors, const Product& p) {
  const int log_rows = std::countr_zero(static_cast<unsigned>(rows));
  const Multiply function = multiply_of_shape<Dot, left>[static_cast<std::size_t>(log_rows * tile_vectors + vectors - 1)];
  [[maybe_unused]] const gemm::Mode<Dot::flush_mode> mode;
  function(p);
}

// The same for any number of vectors.
template <typename Dot, Left left>
void multiply_rows(int rows, std::int64_t vectors, Product p) {
  while (vectors > 0) {
    const int now = vectors_of_tile(vectors);
    multiply_tile<Dot, left>(rows, now, p);
    p.b += now * lanes;
    p.c += now * lanes;
    vectors -= now;
  }
}

// The steps of one row that it sees: elements [begin, end) of p's steps. Words half outside enter with that half zero on both sides.
struct Seen {
  std::int64_t begin;
  std::int64_t end;
};

inline constexpr int seen_vectors = 4;  // at once: bounds the copy of a halved step

template <typename Dot, Left left>
void multiply_seen(std::int64_t vectors, const Product& p, Seen seen) {
  const std::int64_t step = left == Left::by_row ? 1 : p.a_stride;
  for (std::int64_t v = 0; v < vectors; v += seen_vectors) {
    const std::int64_t now = vectors - v < seen_vectors ? vectors - v : seen_vectors;
    Product part = p;
    part.c = p.c + v * lanes;
    const auto whole = [&](std::int64_t first, std::int64_t last) {
      part.a = p.a + first * step;
      part.b = p.b + first * p.b_stride + v * lanes;
      part.steps = last - first;
      multiply_rows<Dot, left>(1, now, part);
      part.resume = true;
    };
    const auto half = [&](std::int64_t at, Word mask) {
      Word columns[seen_vectors * lanes];
      const Word* from = p.b + at * p.b_stride + v * lanes;
      for (std::int64_t i = 0; i < now; ++i) {
        store_words(columns + i * lanes, load_words(from + i * lanes) & set1i(static_cast<std::int32_t>(mask)));
      }
      const Word row = word_at(p.a + at * step) & mask;
      part.a = &row;
      part.b = columns;
      part.steps = 1;
      multiply_rows<Dot, left>(1, now, part);
      part.resume = true;
    };
    if constexpr (Dot::per_word == 1) {
      whole(seen.begin, seen.end);
    } else {
      if (seen.begin % 2 != 0) half(seen.begin / 2, 0xFFFF0000u);
      whole((seen.begin + 1) / 2, seen.end / 2);
      if (seen.end % 2 != 0) half(seen.end / 2, 0x0000FFFFu);
    }
  }
}

inline bool has_nan(const float* c, std::int64_t stride, int rows, std::int64_t vectors) {
  Mask found = first(0);
  for (int i = 0; i < rows; ++i) {
    for (std::int64_t v = 0; v < vectors; ++v) {
      const F32 x = load(c + i * stride + v * lanes);
      found = found | unordered(x, x);
    }
  }
  return any(found);
}

// Rows whose chains see different steps: the left operand is zero where a row does not see. A zero meets a non-finite column only if a
// NaN comes out, so a tile with a NaN is done again row by row over what each row sees. `seen(i)`: of row i, relative to p's steps.
template <typename Dot, Left left, typename Rows>
void multiply_masked(int rows, std::int64_t vectors, const Product& p, Rows seen) {
  multiply_rows<Dot, left>(rows, vectors, p);
  bool all = true;
  for (int i = 0; i < rows; ++i) {
    const Seen s = seen(i);
    all = all && s.begin == 0 && s.end == p.steps * Dot::per_word;
  }
  if (all || !has_nan(p.c, p.c_stride, rows, vectors)) return;
  for (int i = 0; i < rows; ++i) {
    Product row = p;
    row.a += left == Left::by_row ? i * p.a_stride : i;
    row.c += i * p.c_stride;
    multiply_seen<Dot, left>(vectors, row, seen(i));
  }
}

// A DOT over `elements` indices for one tile, not finished, where there may be more than a segment of them.
inline constexpr int most_levels = 16;

template <typename Dot>
void multiply_segments(int rows, int vectors, Product p, std::int64_t elements) {
  p.steps = words_of<Dot>(elements);
  if (elements <= segment) {
    multiply_rows<Dot, Left::by_row>(rows, vectors, p);
    return;
  }
  constexpr std::int64_t steps = segment / Dot::per_word;
  alignas(64) float stack[most_levels][tile_rows * panel_keys];
  const std::int64_t stride = vectors * lanes;
  const auto join = [&](float* first, const float* second) {
    for (int i = 0; i < rows * vectors; ++i) store(first + i * lanes, load(first + i * lanes) + load(second + i * lanes));
  };
  int size = 0;
  const std::int64_t count = (elements + segment - 1) / segment;
  for (std::int64_t i = 0; i < count; ++i) {
    Product leaf = p;
    leaf.a += i * steps;
    leaf.b += i * steps * p.b_stride;
    leaf.steps = i + 1 < count ? steps : p.steps - i * steps;
    leaf.c = stack[size++];
    leaf.c_stride = stride;
    multiply_rows<Dot, Left::by_row>(rows, vectors, leaf);
    for (std::int64_t bits = i; bits % 2 != 0; bits /= 2, --size) join(stack[size - 2], stack[size - 1]);
  }
  for (; size > 1; --size) join(stack[size - 2], stack[size - 1]);
  for (int i = 0; i < rows; ++i) {
    std::memcpy(p.c + i * p.c_stride, stack[0] + i * stride, static_cast<std::size_t>(stride) * sizeof(float));
  }
}
[[nodiscard]] constexpr bool levels_suffice(std::int64_t elements) {
  return elements <= segment << (most_levels - 2);
}

// Operands in the making -------------------------------------------------------------------------------------------------------

// Up to 32 rows as words, row-major, `width` words each (a multiple of 16, zeros behind what was written).
template <typename Dot>
struct WordRows {
  Word* words;
  std::int64_t width;

  [[nodiscard]] typename Dot::Element* row(std::int64_t i) const { return reinterpret_cast<typename Dot::Element*>(words + i * width); }
  void clear(std::int64_t i) const { std::memset(words + i * width, 0, static_cast<std::size_t>(width) * sizeof(Word)); }
  static std::int64_t width_of(std::int64_t elements) { return round_up(words_of<Dot>(elements), lanes); }
};

// Some consecutive columns of rows in memory; strides in elements.
template <typename Element>
struct Columns {
  const Element* data = nullptr;
  std::int64_t stride = 0;
  std::int64_t width = 0;

  [[nodiscard]] const Element* row(std::int64_t i) const { return data + i * stride; }
};

// A head's slices of consecutive rows lie too far apart for the hardware to fetch ahead: a third of a forward pass was spent waiting.
// Asked for many rows at once the processor drops most, so callers ask for a row at a time between the rows they work on.
template <bool to_write = false>
inline void prefetch(const void* from, std::int64_t bytes) {
  const auto* line = static_cast<const std::byte*>(from);
  for (const std::byte* end = line + bytes; line < end; line += 64) __builtin_prefetch(line, to_write ? 1 : 0);
  asm volatile("");  // GCC takes a function that only prefetches for one without effects, and drops its calls
}
template <typename Element>
void prefetch_row(const Columns<Element>& columns, std::int64_t i) {
  prefetch(columns.row(i), columns.width * static_cast<std::int64_t>(sizeof(Element)));
}

// Rows are short and many: a call of memcpy for each would cost a sixth of a forward pass.
inline std::byte* copy_bytes(std::byte* to, const void* source, std::int64_t bytes) {
  const auto* from = static_cast<const std::byte*>(source);
  const auto step = [&]<std::size_t size>() {
    std::memcpy(to, from, size);
    to += size;
    from += size;
    bytes -= size;
  };
  while (bytes >= 64) step.template operator()<64>();
  if (bytes >= 32) step.template operator()<32>();
  if (bytes >= 16) step.template operator()<16>();
  if (bytes >= 8) step.template operator()<8>();
  if (bytes >= 4) step.template operator()<4>();
  if (bytes >= 2) step.template operator()<2>();
  return to;
}

template <typename Dot>
void gather_row(const WordRows<Dot>& to, std::int64_t i, const Columns<typename Dot::Element>& left,
                const Columns<typename Dot::Element>& right, std::int64_t row) {
  constexpr std::int64_t size = sizeof(typename Dot::Element);
  auto* begin = reinterpret_cast<std::byte*>(to.row(i));
  std::byte* end = copy_bytes(begin, left.row(row), left.width * size);
  end = copy_bytes(end, right.row(row), right.width * size);
  const std::int64_t rest = to.width * static_cast<std::int64_t>(sizeof(Word)) - (end - begin);
  if (rest > 0) std::memset(end, 0, static_cast<std::size_t>(rest));
}

// f32 rows as they enter a product: cast to bf16 where its operands are.
template <typename Dot>
void cast_row(const WordRows<Dot>& to, std::int64_t i, const float* from, std::int64_t width) {
  auto* row = to.row(i);
  if constexpr (Dot::per_word == 1) {
    gather_row(to, i, {from, 0, width}, {}, 0);
  } else {
    to.clear(i);
    std::int64_t c = 0;
    for (; c + lanes <= width; c += lanes) store_bf16(row + c, load(from + c));
    if (c < width) store_bf16_first(row + c, load_first(from + c, static_cast<int>(width - c)), static_cast<int>(width - c));
  }
}

// 32 rows (those from `rows` on count as zeros) to a panel: word w of row j at w · 32 + j.
template <typename Dot>
void transpose_rows(const WordRows<Dot>& from, std::int64_t rows, Word* panel) {
  for (std::int64_t i = rows; i < panel_keys; ++i) from.clear(i);
  for (std::int64_t w = 0; w < from.width; w += lanes) {
    for (std::int64_t j = 0; j < panel_keys; j += lanes) {
      transpose_words([&](int i) { return from.words + (j + i) * from.width + w; }, lanes, panel + w * panel_keys + j, panel_keys);
    }
  }
}

// Rows as the right operand of a product over rows. f32 rows are that already; bf16 rows go two by two (a missing last partner is zeros).
// Word rows of `to` are round_up(elements, 16) wide, as f32 rows are.
template <typename Dot>
void pair_rows(const WordRows<Dot>& from, std::int64_t rows, std::int64_t elements, Word* to) {
  static_assert(Dot::per_word == 2);
  const std::int64_t width = round_up(elements, lanes);
  for (std::int64_t i = 0; i < rows; i += 2) {
    for (std::int64_t c = 0; c < width; c += lanes) {
      const I32 even = shift_right<16>(bits(load_bf16(from.row(i) + c)));
      const I32 odd = i + 1 < rows ? bits(load_bf16(from.row(i + 1) + c)) : set1i(0);
      store_words(to + i / 2 * width + c, even | odd);
    }
  }
}

// Rows --------------------------------------------------------------------------------------------------------------------------

// The last four levels of a row reduction: lane j + lane j+8, then 4, 2, 1.
inline float sum_lanes(F32 x) {
#if defined(GODWIT_SIMD_512)
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
#elif defined(GODWIT_SIMD_256)
  const __m256 eight = _mm256_add_ps(x.a, x.b);
#else
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) x.v[j] = x.v[j] + x.v[j + half];
  }
  return x.v[0];
#endif
#if defined(GODWIT_SIMD_512) || defined(GODWIT_SIMD_256)
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#endif
}
// A segment's 64 lanes in four vectors.
inline float sum_lanes(const F32 (&lane)[4]) {
  return sum_lanes((lane[0] + lane[2]) + (lane[1] + lane[3]));
}

inline float largest_lane(F32 x) {
  alignas(64) float v[lanes];
  store(v, x);
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) v[j] = v[j] > v[j + half] ? v[j] : v[j + half];
  }
  return v[0];
}

inline constexpr float nan32 = std::bit_cast<float>(0x7FC00000u);

// Scores of a row's `count` keys of one segment to weights p = exp(z · factor − m), handed to put(j, p) for keys j … j + 15; p is +0 behind
// count. Returns m and l. A DOT's finish may be left out: a zero's sign cannot be seen behind the exponential.
struct RowSums {
  float m;
  float l;
};
template <typename Put>
[[gnu::always_inline]] inline RowSums weigh_row(float* row, std::int64_t count, F32 factor, const Put& put) {
  const std::int64_t whole = count / lanes * lanes;
  const Mask some = first(static_cast<int>(count - whole));
  const F32 least = set1(-std::numeric_limits<float>::infinity());
  F32 best = least;
  Mask nan = first(0);
  for (std::int64_t j = 0; j < whole; j += lanes) {
    const F32 z = load(row + j) * factor;
    store(row + j, z);
    best = larger(z, best);
    nan = nan | unordered(z, z);
  }
  if (whole < count) {
    const F32 z = select(some, load(row + whole) * factor, least);
    store(row + whole, z);
    best = larger(z, best);
    nan = nan | unordered(z, z);
  }
  const float m = any(nan) ? nan32 : largest_lane(best) + 0.0f;
  const F32 shift = set1(m);
  F32 lane[4] = {zero(), zero(), zero(), zero()};
  const auto weight = [&](std::int64_t j, F32& sum) {
    const F32 p = exp(load(row + j) - shift);
    sum = sum + p;
    put(j, p);
  };
  std::int64_t j = 0;
  for (; j + 4 * lanes <= whole; j += 4 * lanes) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) weight(j + k * lanes, lane[k]);
  }
  for (int k = 0; k < 4 && j < whole; ++k, j += lanes) weight(j, lane[k]);
  if (whole < count) {
    const F32 p = select(some, exp(load(row + whole) - shift), zero());
    F32& sum = lane[whole / lanes % 4];
    sum = sum + p;
    put(whole, p);
  }
  return {m, sum_lanes(lane)};
}

// Levels of the aligned tree over the segments of `count` indices that must wait for a partner: none for one segment.
[[nodiscard]] constexpr int waiting_levels(std::int64_t count) {
  const std::int64_t segments = (count + segment - 1) / segment;
  return segments <= 1 ? 0 : static_cast<int>(std::bit_width(static_cast<std::uint64_t>(segments - 1)));
}

}  // namespace godwit::cpu::GODWIT_ISA::attend
