// How matrix products are checked while they are made: each row of C = A · B against a random vector r,
//
//     C_i · r  =  A_i · (B · r)
//
// B · r (the *factors* of a row of A) is made where B is packed, or before the product; A_i · (B · r) and C_i · r while the rows are in a
// cache, the latter from what was stored. The bound is what rounding can explain, and knows each row's own size. docs/inline-checks.md
// derives it.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "gemm_few.h"
#include "gemm_rows.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// More columns would let rounding hide more of one of them. A multiple of every panel's width.
inline constexpr std::int64_t span_columns = 1024;
static_assert(span_columns % panel_width == 0);

// Columns fall into two *halves*, the first and the last eight of every sixteen: each half's part of C_i · r is checked for itself, so that
// two draws would have to go wrong at once for an error that lies in both.
struct Halves {
  F32 first;
  F32 second;
};

// Of 16 vectors the sums over lanes 0 to 7 and over lanes 8 to 15. No result depends on their order of summation, only checks do.
inline Halves sum_halves(const float (&v)[lanes][lanes]) {
#if defined(GODWIT_SIMD_512)
  __m512 t[8];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    const __m512 a = _mm512_load_ps(v[i]);
    const __m512 b = _mm512_load_ps(v[i + 1]);
    t[i / 2] = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 2) {
    const __m512d a = _mm512_castps_pd(t[i]);
    const __m512d b = _mm512_castps_pd(t[i + 1]);
    t[i / 2] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  }
  // t[q] holds in quarter j the sum of quarter j of the vectors 4q … 4q + 3.
  const auto pairs = [](__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)); };
  const __m512 low = pairs(t[0], t[1]);
  const __m512 high = pairs(t[2], t[3]);
  return {{_mm512_shuffle_f32x4(low, high, 0x88)}, {_mm512_shuffle_f32x4(low, high, 0xDD)}};
#elif defined(GODWIT_SIMD_256)
  // Eight vectors of eight lanes to their eight sums.
  const auto eight = [&](int row, int lane) __attribute__((always_inline)) {
    __m256 t[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const __m256 a = _mm256_load_ps(&v[row + 2 * i][lane]);
      const __m256 b = _mm256_load_ps(&v[row + 2 * i + 1][lane]);
      t[i] = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    }
    const auto fours = [](__m256 a, __m256 b) __attribute__((always_inline)) {
      const __m256d x = _mm256_castps_pd(a);
      const __m256d y = _mm256_castps_pd(b);
      return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
    };
    const __m256 low = fours(t[0], t[1]);
    const __m256 high = fours(t[2], t[3]);
    return _mm256_add_ps(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
  };
  return {{eight(0, 0), eight(8, 0)}, {eight(0, 8), eight(8, 8)}};
#else
  alignas(64) float sums[2][lanes] = {};
  for (int i = 0; i < lanes; ++i) {
    for (int j = 0; j < lanes; ++j) sums[j / (lanes / 2)][i] += v[i][j];
  }
  return {load(sums[0]), load(sums[1])};
#endif
}
inline F32 sum_each(const float (&v)[lanes][lanes]) {
  const Halves halves = sum_halves(v);
  return halves.first + halves.second;
}

inline F32 even_of(I32 words) {
  return from_bits(shift_left<16>(words));
}
inline F32 odd_of(I32 words) {
  return from_bits(words & set1i(static_cast<std::int32_t>(0xFFFF0000u)));
}
inline I32 load_pairs(const std::byte* p) {
  return loadi(reinterpret_cast<const std::int32_t*>(p));
}

// Vectors that a row of A is multiplied by, zero behind k up to the next vector of operands: B · r for both halves of the columns, and the
// squared norms of B's rows. For bf16 operands the even and odd ones of 32 indices lie apart, as a vector of pairs falls into them.
struct Factors {
  const float* vector[3] = {};
};
inline constexpr int factor_vectors = 3;

[[nodiscard]] constexpr std::int64_t padded_factors(std::int64_t k) {
  return (k + 63) / 64 * 64;
}
template <typename Operand>
[[nodiscard]] constexpr std::int64_t factor_place(std::int64_t k) {
  return sizeof(Operand) == 4 ? k : k / 32 * 32 + k % 2 * 16 + k % 32 / 2;
}
template <typename Operand>
[[nodiscard]] double operand_at(const std::byte* row, std::int64_t k) {
  Operand x;
  std::memcpy(&x, row + k * static_cast<std::int64_t>(sizeof x), sizeof x);
  if constexpr (sizeof(Operand) == 4) {
    return x;
  } else {
    return std::bit_cast<float>(static_cast<std::uint32_t>(x) << 16);
  }
}

// How much of it is summed at once: what the registers hold, and enough to hide how long a sum takes.
#if defined(GODWIT_SIMD_256)
inline constexpr int across_vectors = 2;
inline constexpr int down_rows = 2;
inline constexpr int left_rows = 2;
#else
inline constexpr int across_vectors = 4;
inline constexpr int down_rows = 4;
inline constexpr int left_rows = 4;
#endif
// Columns of C that are weighed together, where they are stored one after another.
inline constexpr std::int64_t right_columns = 4 * lanes;
static_assert(span_columns % right_columns == 0);

// The factors of `indices` indices over columns [0, columns), the first one a multiple of 16, where B lies as [columns, indices].
template <typename Operand>
void factors_across(Matrix b, std::int64_t columns, std::int64_t indices, const float* r, float* const (&to)[3]) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr int vectors = across_vectors;
  constexpr std::int64_t block = vectors * lanes;
  for (std::int64_t k = 0; k < indices; k += block) {
    F32 sum[2][vectors];
    F32 square[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) sum[0][v] = sum[1][v] = square[v] = zero();
    const std::int64_t rest = indices - k;
    const auto add = [&](std::int64_t j, F32(&to_half)[vectors]) __attribute__((always_inline)) {
      alignas(64) std::byte some[block * size];
      const std::byte* row = b.row(j) + k * size;
      if (rest < block) {
        std::memset(some, 0, sizeof some);
        std::memcpy(some, row, static_cast<std::size_t>(rest * size));
        row = some;
      }
      F32 x[vectors];
      if constexpr (size == 4) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) x[v] = load(as_f32(row) + v * lanes);
      } else {
#pragma GCC unroll 2
        for (int v = 0; v < vectors / 2; ++v) {
          const I32 pairs = load_pairs(row + v * 64);
          x[2 * v] = even_of(pairs);
          x[2 * v + 1] = odd_of(pairs);
        }
      }
      const F32 weight = set1(r[j]);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        square[v] = fma(x[v], x[v], square[v]);
        to_half[v] = fma(x[v], weight, to_half[v]);
      }
    };
    for (std::int64_t j = 0; j < columns; j += lanes) {
      const std::int64_t middle = std::min<std::int64_t>(j + lanes / 2, columns);
      for (std::int64_t i = j; i < middle; ++i) add(i, sum[0]);
      for (std::int64_t i = middle; i < std::min<std::int64_t>(j + lanes, columns); ++i) add(i, sum[1]);
    }
    for (int v = 0; v < vectors; ++v) {
      store(to[0] + k + v * lanes, sum[0][v]);
      store(to[1] + k + v * lanes, sum[1][v]);
      store(to[2] + k + v * lanes, square[v]);
    }
  }
}

// The same where B lies as [indices, columns]; `in_order`: factors of bf16 operands are not parted into even and odd ones.
template <typename Operand, bool in_order = false>
void factors_down(Matrix b, std::int64_t columns, std::int64_t indices, const float* r, float* const (&to)[3]) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr bool together = size == 4 || in_order;
  constexpr std::int64_t step = together ? 1 : 2;
  for (std::int64_t k = 0; k < round_up(indices, together ? lanes : 2 * lanes); k += lanes) {
    alignas(64) float sum[lanes][lanes];
    alignas(64) float square_sum[lanes][lanes];
    const std::int64_t first = together ? k : k / 32 * 32 + k % 32 / 16;
    for (std::int64_t i = 0; i < lanes; i += down_rows) {
      F32 one[down_rows];
      F32 square[down_rows];
      const std::byte* row[down_rows];
#pragma GCC unroll 4
      for (int h = 0; h < down_rows; ++h) {
        one[h] = square[h] = zero();
        row[h] = b.row(std::min(first + (i + h) * step, indices - 1));
      }
      for (std::int64_t j = 0; j < columns; j += lanes) {
        const int n = part(columns - j);
        const F32 weight = load(r + j);
#pragma GCC unroll 4
        for (int h = 0; h < down_rows; ++h) {
          F32 x;
          if constexpr (size == 4) {
            x = some_f32(row[h] + j * 4, n);
          } else {
            x = some_bf16(row[h] + j * 2, n);
          }
          one[h] = fma(x, weight, one[h]);
          square[h] = fma(x, x, square[h]);
        }
      }
#pragma GCC unroll 4
      for (int h = 0; h < down_rows; ++h) {
        const bool there = first + (i + h) * step < indices;
        store(sum[i + h], there ? one[h] : zero());
        store(square_sum[i + h], there ? square[h] : zero());
      }
    }
    const Halves halves = sum_halves(sum);
    store(to[0] + k, halves.first);
    store(to[1] + k, halves.second);
    store(to[2] + k, sum_each(square_sum));
  }
}

// first[i] + second[i] = a_i · B · r, by halves, of `count` rows.
template <typename Operand>
void weigh_left(Matrix a, std::int64_t count, std::int64_t k, const Factors& factors, float* first, float* second) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr std::int64_t block = size == 4 ? 16 : 32;
  constexpr int at_once = left_rows;
  const std::int64_t whole = k / block * block;
  for (std::int64_t i = 0; i < count; i += lanes / 2) {
    alignas(64) float sums[lanes][lanes];
    for (std::int64_t h = 0; h < lanes / 2; h += at_once) {
      const std::byte* row[at_once];
      F32 one[at_once];
      F32 two[at_once];
#pragma GCC unroll 4
      for (int j = 0; j < at_once; ++j) {
        row[j] = a.row(std::min(i + h + j, count - 1));
        one[j] = zero();
        two[j] = zero();
      }
      const auto add = [&](std::int64_t at, const std::byte* const(&from)[at_once]) __attribute__((always_inline)) {
        if constexpr (size == 4) {
          const F32 f1 = load(factors.vector[0] + at);
          const F32 f2 = load(factors.vector[1] + at);
#pragma GCC unroll 4
          for (int j = 0; j < at_once; ++j) {
            const F32 x = load(as_f32(from[j]));
            one[j] = fma(x, f1, one[j]);
            two[j] = fma(x, f2, two[j]);
          }
        } else {
          const F32 e1 = load(factors.vector[0] + at);
          const F32 o1 = load(factors.vector[0] + at + lanes);
          const F32 e2 = load(factors.vector[1] + at);
          const F32 o2 = load(factors.vector[1] + at + lanes);
#pragma GCC unroll 4
          for (int j = 0; j < at_once; ++j) {
            const I32 pairs = load_pairs(from[j]);
            const F32 even = even_of(pairs);
            const F32 odd = odd_of(pairs);
            one[j] = fma(even, e1, one[j]);
            two[j] = fma(even, e2, two[j]);
            one[j] = fma(odd, o1, one[j]);
            two[j] = fma(odd, o2, two[j]);
          }
        }
      };
      for (std::int64_t at = 0; at < whole; at += block) {
        const std::byte* from[at_once];
#pragma GCC unroll 4
        for (int j = 0; j < at_once; ++j) from[j] = row[j] + at * size;
        add(at, from);
      }
      if (whole < k) {
        alignas(64) std::byte some[at_once][64] = {};
        const std::byte* from[at_once];
        for (int j = 0; j < at_once; ++j) {
          std::memcpy(some[j], row[j] + whole * size, static_cast<std::size_t>((k - whole) * size));
          from[j] = some[j];
        }
        add(whole, from);
      }
#pragma GCC unroll 4
      for (int j = 0; j < at_once; ++j) {
        store(sums[h + j], one[j]);
        store(sums[h + j + lanes / 2], two[j]);
      }
    }
    alignas(64) float all[lanes];
    store(all, sum_each(sums));
    for (std::int64_t j = 0; j < lanes / 2 && i + j < count; ++j) {
      first[i + j] = all[j];
      second[i + j] = all[j + lanes / 2];
    }
  }
}

// Σ a_k² · |b_k|²: what a row's products weigh.
template <typename Operand>
double weight_of_row(const std::byte* row, std::int64_t k, const Factors& factors) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr std::int64_t block = size == 4 ? 16 : 32;
  F32 sum = zero();
  for (std::int64_t at = 0; at < k; at += block) {
    alignas(64) std::byte some[64] = {};
    const std::byte* from = row + at * size;
    if (k - at < block) {
      std::memcpy(some, from, static_cast<std::size_t>((k - at) * size));
      from = some;
    }
    const float* square = factors.vector[2] + at;
    if constexpr (size == 4) {
      const F32 x = load(as_f32(from));
      sum = fma(x * x, load(square), sum);
    } else {
      const F32 even = even_of(load_pairs(from));
      const F32 odd = odd_of(load_pairs(from));
      sum = fma(even * even, load(square), sum);
      sum = fma(odd * odd, load(square + lanes), sum);
    }
  }
  alignas(64) float parts[lanes];
  store(parts, sum);
  double weight = 0;
  for (const float x : parts) weight += static_cast<double>(x);
  if (weight > 1e-28 && weight < 1e30) return weight;
  weight = 0;  // out of f32's range somewhere
  for (std::int64_t i = 0; i < k; ++i) {
    const double a = operand_at<Operand>(row, i);
    weight += a * a * static_cast<double>(factors.vector[2][factor_place<Operand>(i)]);
  }
  return weight;
}

// first[i] + second[i] = c_i · r, by halves, of `count` rows of up to a panel's columns; r is read in whole vectors.
template <int vectors>
void weigh_right(const float* c, std::int64_t stride, std::int64_t count, std::int64_t columns, const float* r, float* first,
                 float* second) {
  F32 weight[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) weight[v] = load(r + v * lanes);
  const int last = part(columns - (vectors - 1) * lanes);
  const auto row_of = [&](const float* row, auto some) __attribute__((always_inline)) {
    F32 sum = zero();
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const F32 x = some() && v + 1 == vectors ? load_first(row + v * lanes, last) : load(row + v * lanes);
      sum = fma(x, weight[v], sum);
    }
    return sum;
  };
  for (std::int64_t i = 0; i < count; i += lanes) {
    alignas(64) float sums[lanes][lanes];
    const int rows = part(count - i);
    const float* row = c + i * stride;
    if (rows == lanes && last == lanes) {
#pragma GCC unroll 16
      for (int j = 0; j < lanes; ++j) store(sums[j], row_of(row + j * stride, [] { return false; }));
      const Halves halves = sum_halves(sums);
      store(first + i, halves.first);
      store(second + i, halves.second);
      continue;
    }
    for (int j = 0; j < rows; ++j) store(sums[j], row_of(row + j * stride, [] { return true; }));
    for (int j = rows; j < lanes; ++j) store(sums[j], zero());
    const Halves halves = sum_halves(sums);
    store_first(first + i, halves.first, rows);
    store_first(second + i, halves.second, rows);
  }
}
inline void weigh_right(const float* c, std::int64_t stride, std::int64_t count, std::int64_t columns, const float* r, float* first,
                        float* second) {
  switch (pieces(columns, lanes)) {
    case 1:
      return weigh_right<1>(c, stride, count, columns, r, first, second);
    case 2:
      return weigh_right<2>(c, stride, count, columns, r, first, second);
    case 3:
      return weigh_right<3>(c, stride, count, columns, r, first, second);
    default:
      return weigh_right<4>(c, stride, count, columns, r, first, second);
  }
}

// first[o] += Σ_t y[t, o] · f[t], second likewise, for up to 16 · vectors columns o and t in [0, count). In parts of 512, so that a long
// sum stays as exact as the chains it is held against.
template <typename Operand, int vectors>
void weigh_columns(Matrix y, std::int64_t columns, std::int64_t count, const float* f1, const float* f2, float* first, float* second) {
  const int last = part(columns - (vectors - 1) * lanes);
  for (std::int64_t t = 0; t < count; t += segment) {
    F32 one[vectors];
    F32 two[vectors];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) one[v] = two[v] = zero();
    for (std::int64_t i = t; i < std::min(t + segment, count); ++i) {
      const F32 a = set1(f1[i]);
      const F32 b = set1(f2[i]);
      const std::byte* row = y.row(i);
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const int n = v + 1 == vectors ? last : lanes;
        F32 x;
        if constexpr (sizeof(Operand) == 4) {
          x = some_f32(row + v * lanes * 4, n);
        } else {
          x = some_bf16(row + v * lanes * 2, n);
        }
        one[v] = fma(x, a, one[v]);
        two[v] = fma(x, b, two[v]);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v) {
      const int n = v + 1 == vectors ? last : lanes;
      store_first(first + v * lanes, load_first(first + v * lanes, n) + one[v], n);
      store_first(second + v * lanes, load_first(second + v * lanes, n) + two[v], n);
    }
  }
}
template <typename Operand>
void weigh_columns(Matrix y, std::int64_t columns, std::int64_t count, const float* f1, const float* f2, float* first, float* second) {
  std::fill_n(first, columns, 0.0f);
  std::fill_n(second, columns, 0.0f);
  for (std::int64_t o = 0; o < columns; o += 4 * lanes) {
    const std::int64_t now = std::min<std::int64_t>(columns - o, 4 * lanes);
    const Matrix from{y.data + o * static_cast<std::int64_t>(sizeof(Operand)), y.stride};
    const auto run = [&]<int vectors>() { weigh_columns<Operand, vectors>(from, now, count, f1, f2, first + o, second + o); };
    switch (pieces(now, lanes)) {
      case 1:
        run.template operator()<1>();
        break;
      case 2:
        run.template operator()<2>();
        break;
      case 3:
        run.template operator()<3>();
        break;
      default:
        run.template operator()<4>();
    }
  }
}

// What rounding can explain of a difference, from the lengths of the sums behind it.
class Bounds {
 public:
  // k indices in chains of at most `chain`, `columns` columns.
  Bounds(std::int64_t k, std::int64_t chain, std::int64_t columns) {
    const auto in_chain = static_cast<double>(std::min(k, chain));
    const auto all = static_cast<double>(k);
    const auto wide = static_cast<double>(columns);
    const double levels = 1 + std::log2(std::max(1.0, all / in_chain));
    // Eight sigma of ordinary data, as part of the size of A·B·r.
    quick_ = 8 * 0.62 * unit * std::sqrt((in_chain / 2 + levels + all / 32 + wide / 16 + 8) / mean_square);
    // Partial sums may be √chain times as large as the whole where products cancel.
    sure_ = unit * (6 * in_chain + 4 * std::sqrt(all * levels) + 2 * std::sqrt(all * wide / 16) + 16);
    floor_ = 0x1p-124 * std::sqrt(wide) * (all + wide);
  }
  // The part of |first| + |second| that a difference may be without a second look.
  [[nodiscard]] float quick() const { return static_cast<float>(0.8 * quick_); }
  // By the weight of the row's products.
  [[nodiscard]] double of(double weight) const { return sure_ * std::sqrt(weight) + floor_; }

 private:
  static constexpr double unit = 0x1p-24;
  static constexpr double mean_square = 7.0 / 3.0;  // of r
  double quick_;
  double sure_;
  double floor_;
};

// A row's sums, by halves.
struct Weighed {
  float first = 0;
  float second = 0;
};

// Whether a row passes at once. Comparisons fail on NaN.
inline bool passes(const Weighed& got, const Weighed& expected, float quick) {
  const float most = quick * (std::fabs(expected.first) + std::fabs(expected.second));
  return std::fabs(got.first - expected.first) <= most && std::fabs(got.second - expected.second) <= most &&
         most <= std::numeric_limits<float>::max();
}

inline F32 magnitude(F32 x) {
  return from_bits(bits(x) & set1i(0x7FFFFFFF));
}

// Adds up the columns of `parts` (`apart` floats from one to the next), holds them against the same rows' `expected`, and calls
// look(row, got, expected) for those that do not pass at once. Not finite is not passing.
template <typename Look>
void compare_rows(const float* first, const float* second, std::int64_t parts, std::int64_t apart, const float* expected_first,
                  const float* expected_second, std::int64_t count, float quick, const Look& look) {
  for (std::int64_t i = 0; i < count; i += lanes) {
    const int n = part(count - i);
    const auto at = [&](const float* p) { return n == lanes ? load(p + i) : load_first(p + i, n); };
    F32 got1 = zero();
    F32 got2 = zero();
    for (std::int64_t k = 0; k < parts; ++k) {
      got1 = got1 + at(first + k * apart);
      got2 = got2 + at(second + k * apart);
    }
    const F32 expected1 = at(expected_first);
    const F32 expected2 = at(expected_second);
    const F32 d1 = got1 - expected1;
    const F32 d2 = got2 - expected2;
    const F32 most = set1(quick) * (magnitude(expected1) + magnitude(expected2));
    const Mask fails = less(most, magnitude(d1)) | less(most, magnitude(d2)) | unordered(d1, d2) | unordered(most, most) |
                       less(set1(std::numeric_limits<float>::max()), most);
    if (!any(fails)) continue;
    alignas(64) float out[4][lanes];
    store(out[0], got1);
    store(out[1], got2);
    store(out[2], expected1);
    store(out[3], expected2);
    for (int j = 0; j < n; ++j) {
      const Weighed got{out[0][j], out[1][j]};
      const Weighed expected{out[2][j], out[3][j]};
      if (!passes(got, expected, quick)) look(i + j, got, expected);
    }
  }
}

struct Verdict {
  bool doubtful = false;
  double difference = 0;
  double bound = 0;
};
// The second look.
inline Verdict judge(const Weighed& got, const Weighed& expected, double bound) {
  const double d1 = static_cast<double>(got.first) - static_cast<double>(expected.first);
  const double d2 = static_cast<double>(got.second) - static_cast<double>(expected.second);
  const double largest = std::fabs(d1) > std::fabs(d2) || d1 != d1 ? d1 : d2;
  const bool finite = std::isfinite(d1) && std::isfinite(d2) && std::isfinite(bound);
  if (finite && std::fabs(largest) <= bound) return {};
  return {true, finite ? largest : std::nan(""), bound};
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
