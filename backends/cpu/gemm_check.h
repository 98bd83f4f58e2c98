// How matrix products are checked while they are made: each row of C = A · B against two random vectors r,
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

// The sums over the lanes of 16 vectors. No result depends on their order of summation, only checks do.
inline F32 sum_each(const float (&v)[lanes][lanes]) {
#if defined(GODWIT_SIMD_512)
  __m512 t[16];
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
  const auto quarters = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
  };
  return {quarters(quarters(t[0], t[1]), quarters(t[2], t[3]))};
#else
  alignas(64) float sums[lanes];
  for (int i = 0; i < lanes; ++i) {
    float sum = 0;
    for (int j = 0; j < lanes; ++j) sum += v[i][j];
    sums[i] = sum;
  }
  return load(sums);
#endif
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

// Vectors that a row of A is multiplied by, `padded` long and zero behind k: B · r for both r, and the squared norms of B's rows. For bf16
// operands the even and odd ones of 32 indices lie apart, as a vector of pairs falls into them.
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

// sums += over columns [0, columns) of B: b·r, b·r', b² for `indices` indices, where B lies as [columns, indices].
template <typename Operand>
void factors_across(Matrix b, std::int64_t columns, std::int64_t indices, const float* r1, const float* r2, float* const (&to)[3]) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr std::int64_t block = 64;
  for (std::int64_t k = 0; k < indices; k += block) {
    F32 sum[3][4];
    for (auto& one : sum) {
      for (F32& x : one) x = zero();
    }
    const std::int64_t rest = indices - k;
    for (std::int64_t j = 0; j < columns; ++j) {
      alignas(64) std::byte some[block * size];
      const std::byte* row = b.row(j) + k * size;
      if (rest < block) {
        std::memset(some, 0, sizeof some);
        std::memcpy(some, row, static_cast<std::size_t>(rest * size));
        row = some;
      }
      F32 x[4];
      if constexpr (size == 4) {
#pragma GCC unroll 4
        for (int v = 0; v < 4; ++v) x[v] = load(as_f32(row) + v * lanes);
      } else {
#pragma GCC unroll 2
        for (int v = 0; v < 2; ++v) {
          const I32 pairs = load_pairs(row + v * 64);
          x[2 * v] = even_of(pairs);
          x[2 * v + 1] = odd_of(pairs);
        }
      }
      const F32 first = set1(r1[j]);
      const F32 second = set1(r2[j]);
#pragma GCC unroll 4
      for (int v = 0; v < 4; ++v) {
        sum[0][v] = fma(x[v], first, sum[0][v]);
        sum[1][v] = fma(x[v], second, sum[1][v]);
        sum[2][v] = fma(x[v], x[v], sum[2][v]);
      }
    }
    for (int s = 0; s < 3; ++s) {
      for (int v = 0; v < 4; ++v) store(to[s] + k + v * lanes, sum[s][v]);
    }
  }
}

// The same where B lies as [indices, columns]; `in_order`: factors of bf16 operands are not parted into even and odd ones.
template <typename Operand, bool in_order = false>
void factors_down(Matrix b, std::int64_t columns, std::int64_t indices, const float* r1, const float* r2, float* const (&to)[3]) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr bool together = size == 4 || in_order;
  constexpr std::int64_t step = together ? 1 : 2;
  for (std::int64_t k = 0; k < round_up(indices, in_order ? lanes : 64); k += lanes) {
    alignas(64) float sum[3][lanes][lanes] = {};
    const std::int64_t first = together ? k : k / 32 * 32 + k % 32 / 16;
    for (std::int64_t i = 0; i < lanes && first + i * step < indices; ++i) {
      const std::byte* row = b.row(first + i * step);
      F32 one = zero();
      F32 two = zero();
      F32 square = zero();
      for (std::int64_t j = 0; j < columns; j += lanes) {
        const int n = part(columns - j);
        F32 x;
        if constexpr (size == 4) {
          x = some_f32(row + j * 4, n);
        } else {
          x = some_bf16(row + j * 2, n);
        }
        one = fma(x, load(r1 + j), one);
        two = fma(x, load(r2 + j), two);
        square = fma(x, x, square);
      }
      store(sum[0][i], one);
      store(sum[1][i], two);
      store(sum[2][i], square);
    }
    for (int s = 0; s < 3; ++s) store(to[s] + k, sum_each(sum[s]));
  }
}

// first[i] = a_i · B · r, second[i] = a_i · B · r' of `count` rows.
template <typename Operand>
void weigh_left(Matrix a, std::int64_t count, std::int64_t k, const Factors& factors, float* first, float* second) {
  constexpr std::int64_t size = sizeof(Operand);
  constexpr std::int64_t block = size == 4 ? 16 : 32;
  constexpr int at_once = 4;
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
  double sum = 0;
  for (std::int64_t i = 0; i < k; ++i) {
    const double a = operand_at<Operand>(row, i);
    sum += a * a * static_cast<double>(factors.vector[2][factor_place<Operand>(i)]);
  }
  return sum;
}

// first[i] = c_i · r, second[i] = c_i · r' of `count` rows of up to a panel's columns; r's first `columns` are read in whole vectors.
template <int vectors>
void weigh_right(const float* c, std::int64_t stride, std::int64_t count, std::int64_t columns, const float* r1, const float* r2,
                 float* first_to, float* second_to) {
  F32 one[vectors];
  F32 two[vectors];
#pragma GCC unroll 4
  for (int v = 0; v < vectors; ++v) {
    one[v] = load(r1 + v * lanes);
    two[v] = load(r2 + v * lanes);
  }
  const int last = part(columns - (vectors - 1) * lanes);
  for (std::int64_t i = 0; i < count; i += lanes) {
    alignas(64) float s1[lanes][lanes];
    alignas(64) float s2[lanes][lanes];
    const int rows = part(count - i);
    for (int j = 0; j < rows; ++j) {
      const float* row = c + (i + j) * stride;
      F32 a = zero();
      F32 b = zero();
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) {
        const F32 x = v + 1 == vectors && last < lanes ? load_first(row + v * lanes, last) : load(row + v * lanes);
        a = fma(x, one[v], a);
        b = fma(x, two[v], b);
      }
      store(s1[j], a);
      store(s2[j], b);
    }
    for (int j = rows; j < lanes; ++j) {
      store(s1[j], zero());
      store(s2[j], zero());
    }
    if (rows == lanes) {
      store(first_to + i, sum_each(s1));
      store(second_to + i, sum_each(s2));
    } else {
      store_first(first_to + i, sum_each(s1), rows);
      store_first(second_to + i, sum_each(s2), rows);
    }
  }
}
inline void weigh_right(const float* c, std::int64_t stride, std::int64_t count, std::int64_t columns, const float* r1, const float* r2,
                        float* first_to, float* second_to) {
  switch (pieces(columns, lanes)) {
    case 1:
      return weigh_right<1>(c, stride, count, columns, r1, r2, first_to, second_to);
    case 2:
      return weigh_right<2>(c, stride, count, columns, r1, r2, first_to, second_to);
    case 3:
      return weigh_right<3>(c, stride, count, columns, r1, r2, first_to, second_to);
    default:
      return weigh_right<4>(c, stride, count, columns, r1, r2, first_to, second_to);
  }
}

// first[o] += Σ_t y[t, o] · f[t], second likewise, for up to 16 · vectors columns o and t in [0, count). In parts of 512, so that a long sum
// stays as exact as the chains it is held against.
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
    quick_ = 8 * 0.62 * unit * std::sqrt((in_chain / 2 + levels + all / 32 + wide / 16 + 8) / (2 * mean_square));
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

// Two estimates of the same products by two vectors each.
struct Weighed {
  float first = 0;
  float second = 0;
};

// Whether a row passes at once. Comparisons fail on NaN.
inline bool passes(const Weighed& got, const Weighed& expected, float quick) {
  const float d1 = got.first - expected.first;
  const float d2 = got.second - expected.second;
  const float most = quick * (std::fabs(expected.first) + std::fabs(expected.second));
  return std::fabs(d1) <= most && std::fabs(d2) <= most && most <= std::numeric_limits<float>::max();
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
