#include "base/math.h"

#include <bit>
#include <cfloat>
#include <cmath>
#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit::math {
namespace {

static_assert(FLT_EVAL_METHOD == 0, "each operation must round to its own type");

constexpr float nan32 = std::bit_cast<float>(0x7FC00000u);
constexpr double nan64 = std::bit_cast<double>(uint64_t{0x7FF8000000000000});
constexpr float infinity32 = std::numeric_limits<float>::infinity();
constexpr double infinity64 = std::numeric_limits<double>::infinity();

// Adding and taking away 1.5 · 2^(precision−1) rounds to the nearest integer, ties to even; the sum's low bits are that integer.
constexpr float round32 = 0x1.8p23f;
constexpr double round64 = 0x1.8p52;

template <typename Real, std::size_t Count>
[[gnu::always_inline]] inline Real horner(const std::array<Real, Count>& poly, Real x) {
  Real sum = poly[Count - 1];
  for (std::size_t k = Count - 1; k-- > 0;) sum = std::fma(sum, x, poly[k]);
  return sum;
}

[[gnu::always_inline]] inline float power_of_two(int32_t n) {
  return std::bit_cast<float>(static_cast<uint32_t>(n + 127) << 23);
}
double power_of_two(int64_t n) {
  return std::bit_cast<double>(static_cast<uint64_t>(n + 1023) << 52);
}

// 2^n as a product of two powers, both normal. (value · first) is exact for a value near 1, so value · first · second rounds once.
struct Scale {
  float first, second;
  [[gnu::always_inline]] explicit Scale(int32_t n) : first(power_of_two(n >> 1)), second(power_of_two(n - (n >> 1))) {}
  [[gnu::always_inline]] float operator()(float value) const { return value * first * second; }
};

// exp(x) = 2^n · (1 + r · tail)
struct Reduced {
  int32_t n;
  float r, tail;
};

// For |x| < 128.
[[gnu::always_inline]] inline Reduced reduce_exp(float x) {
  const float shifted = std::fma(x, log2e, round32);
  const float n = shifted - round32;
  float r = std::fma(n, -ln2_hi, x);
  r = std::fma(n, -ln2_lo, r);
  return {static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(round32)), r, horner(exp_poly, r)};
}

// 2^n · (1 + r · tail(r)), for −1076 ≤ n ≤ 1030
double scaled_exp(int64_t n, double r) {
  const double value = std::fma(horner(exp64_poly, r), r, 1.0);
  return value * power_of_two(n >> 1) * power_of_two(n - (n >> 1));
}

// n, the integer nearest to x, from x + round64
int64_t integer_of(double shifted) {
  return static_cast<int64_t>(std::bit_cast<uint64_t>(shifted) - std::bit_cast<uint64_t>(round64));
}

// exp(x + x_lo), for |x_lo| far below 1
double exp_pair(double x, double x_lo) {
  if (x < -746.0) return 0.0;
  if (x > 710.0) return infinity64;
  const double shifted = std::fma(x, log2e64, round64);
  const double n = shifted - round64;
  double r = std::fma(n, -ln2_hi64, x);
  r = std::fma(n, -ln2_lo64, r) + x_lo;
  return scaled_exp(integer_of(shifted), r);
}

struct Pair {
  double hi, lo;
};

// log(x) = hi + lo, for finite x > 0
Pair log_pair(double x) {
  int64_t exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p52;
    exponent = -52;
  }
  constexpr uint64_t two_thirds = 0x3FE5555555555555;
  const auto bits = std::bit_cast<uint64_t>(x);
  const int64_t k = static_cast<int64_t>(bits - two_thirds) >> 52;
  const double f = std::bit_cast<double>(bits - (static_cast<uint64_t>(k) << 52)) - 1.0;  // in [−1/3, 1/3), exact
  const double e = static_cast<double>(exponent + k);

  // log(1+f) = log((1+s)/(1−s)) with s = f / (2+f) = s + s_lo
  const double d = 2.0 + f;
  const double d_lo = f - (d - 2.0);
  const double s = f / d;
  const double s_lo = std::fma(-s, d_lo, std::fma(-s, d, f)) / d;
  const double u = s * s;
  const double tail = std::fma(s * u, horner(log64_poly, u), 2.0 * s_lo);

  const double a = e * ln2_hi64;  // exact: 11 bits by 42
  const double b = 2.0 * s;
  const double hi = a + b;
  const double lo = b - (hi - a);  // exact: |a| ≥ |b|, or a = 0
  const double rest = std::fma(e, ln2_lo64, tail) + lo;
  const double sum = hi + rest;
  return {sum, rest - (sum - hi)};
}

// sin(r) and cos(r) for |r| ≤ π/4
double sin_kernel(double r) {
  const double u = r * r;
  return std::fma(r * u, horner(sin_poly, u), r);
}

double cos_kernel(double r) {
  const double u = r * r;
  return std::fma(u * u, horner(cos_poly, u), std::fma(-0.5, u, 1.0));
}

// sin(quadrant · π/2 + r)
double sin_quadrant(int64_t quadrant, double r) {
  const double value = quadrant & 1 ? cos_kernel(r) : sin_kernel(r);
  return quadrant & 2 ? -value : value;
}

struct Angle {
  int64_t quadrant;
  double r;
};

// x = quadrant · π/2 + r, for 0 ≤ x ≤ 2^27. The first two steps are exact (their results are multiples of 2^-52 below 2), so r is good
// to its last bit also where x lies beside a multiple of π/2.
Angle reduce_angle(double x) {
  const double shifted = std::fma(x, two_over_pi, round64);
  const double n = shifted - round64;
  double r = std::fma(n, -half_pi_1, x);
  r = std::fma(n, -half_pi_2, r);
  r = std::fma(n, -half_pi_3, r);
  r = std::fma(n, -half_pi_4, r);
  return {integer_of(shifted), r};
}

bool is_subnormal(float x) {
  return (std::bit_cast<uint32_t>(x) & 0x7F800000u) == 0;
}  // or zero
float signed_zero(float x) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(x) & 0x80000000u);
}

[[gnu::always_inline]] inline float exp_of(float x) {
  float a = x < -104.0f ? -104.0f : x;  // exp(−104) < 2^-150 rounds to 0
  a = a > 89.0f ? 89.0f : a;            // exp(89) > 2^128 rounds to +Inf
  const Reduced e = reduce_exp(a);
  const float y = Scale(e.n)(std::fma(e.tail, e.r, 1.0f));
  return x != x ? nan32 : y;
}

void exp_of_each(float* x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] = exp_of(x[i]);
}

#if defined(__x86_64__)
// exp_of, eight at a time. Without the instruction every fma is a call of libm.
[[gnu::target("avx2,fma")]] void exp_of_each_by_fma(float* x, std::size_t count) {
  std::size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m256 v = _mm256_loadu_ps(x + i);
    const __m256 a =
        _mm256_min_ps(_mm256_set1_ps(89.0f), _mm256_max_ps(_mm256_set1_ps(-104.0f), v));  // NaN stays: of two, the second is returned
    const __m256 shifted = _mm256_fmadd_ps(a, _mm256_set1_ps(log2e), _mm256_set1_ps(round32));
    const __m256 n = _mm256_sub_ps(shifted, _mm256_set1_ps(round32));
    const __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-ln2_lo), _mm256_fmadd_ps(n, _mm256_set1_ps(-ln2_hi), a));
    __m256 tail = _mm256_set1_ps(exp_poly.back());
    for (std::size_t k = exp_poly.size() - 1; k-- > 0;) tail = _mm256_fmadd_ps(tail, r, _mm256_set1_ps(exp_poly[k]));
    const __m256i exponent = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(_mm256_set1_ps(round32)));
    const __m256i half = _mm256_srai_epi32(exponent, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    const __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(exponent, half), bias), 23));
    const __m256 y = _mm256_mul_ps(_mm256_mul_ps(_mm256_fmadd_ps(tail, r, _mm256_set1_ps(1.0f)), first), second);
    _mm256_storeu_ps(x + i, _mm256_blendv_ps(y, _mm256_set1_ps(nan32), _mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
  }
  exp_of_each(x + i, count - i);
}
#endif

}  // namespace

float exp(float x) {
  return exp_of(x);
}

void exp_each(std::span<float> x) {
#if defined(__x86_64__)
  static const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fma) return exp_of_each_by_fma(x.data(), x.size());
#endif
  exp_of_each(x.data(), x.size());
}

float log(float x) {
  if (x != x || x < 0.0f) return nan32;
  if (x == 0.0f) return -infinity32;
  if (x == infinity32) return x;
  int32_t exponent = 0;
  if (x < 0x1p-126f) {
    x *= 0x1p23f;
    exponent = -23;
  }
  constexpr uint32_t two_thirds = 0x3F2AAAAB;
  const auto bits = std::bit_cast<uint32_t>(x);
  const int32_t k = static_cast<int32_t>(bits - two_thirds) >> 23;
  const float f = std::bit_cast<float>(bits - (static_cast<uint32_t>(k) << 23)) - 1.0f;  // in [−1/3, 1/3), exact
  const float e = static_cast<float>(exponent + k);

  const float a = e * ln2_hi;  // exact: 8 bits by 16
  const float hi = a + f;
  const float lo = f - (hi - a);  // exact: |a| ≥ |f|, or a = 0
  const float tail = (f * f) * horner(log_poly, f);
  return hi + (lo + std::fma(e, ln2_lo, tail));
}

float sigmoid(float x) {
  if (x != x) return nan32;
  // With t = exp(−|x|): 1/(1+t) or t/(1+t). t = 2^n · (p + p_lo); 2^n is applied last, so that underflow rounds after the division.
  const bool negative = x < 0.0f;
  float a = negative ? x : -x;
  a = a < -104.0f ? -104.0f : a;
  const Reduced e = reduce_exp(a);
  const Scale scale(e.n);
  const float p = std::fma(e.tail, e.r, 1.0f);
  const float p_lo = std::fma(e.tail, e.r, 1.0f - p);
  const float t = scale(p);
  const float d = 1.0f + t;
  const float d_lo = (t - (d - 1.0f)) + scale(p_lo);

  const float numerator = negative ? p : 1.0f;
  const float numerator_lo = negative ? p_lo : 0.0f;
  const float g = 1.0f / d;
  const float q = numerator * g;
  float rest = std::fma(-q, d, numerator);
  rest = std::fma(-q, d_lo, rest);
  rest = rest + numerator_lo;
  const float y = std::fma(rest, g, q);
  return negative ? scale(y) : y;
}

float tanh(float x) {
  if (x != x) return nan32;
  const float a = x < 0.0f ? -x : x;
  float y;
  if (a <= 1.0f) {
    const float u = x * x;
    y = std::fma(a * u, horner(tanh_poly, u), a);
  } else {
    y = std::fma(-2.0f, sigmoid(-2.0f * a), 1.0f);
  }
  return std::copysign(y, x);
}

double exp(double x) {
  return x != x ? nan64 : exp_pair(x, 0.0);
}

double exp2(double x) {
  if (x != x) return nan64;
  if (x < -1076.0) return 0.0;
  if (x > 1025.0) return infinity64;
  const double shifted = x + round64;
  return scaled_exp(integer_of(shifted), (x - (shifted - round64)) * ln2_64);
}

double log(double x) {
  if (x != x || x < 0.0) return nan64;
  if (x == 0.0) return -infinity64;
  if (x == infinity64) return x;
  return log_pair(x).hi;
}

double pow(double base, double exponent) {
  if (!(base > 0.0 && base < infinity64 && exponent - exponent == 0.0)) return nan64;
  const Pair l = log_pair(base);
  const double x = exponent * l.hi;
  if (!(x > -746.0 && x < 710.0)) return exp_pair(x, 0.0);
  return exp_pair(x, std::fma(exponent, l.hi, -x) + exponent * l.lo);
}

double power(double base, uint64_t t) {
  double result = 1.0;
  for (; t != 0; t >>= 1) {
    if (t & 1) result *= base;
    base *= base;
  }
  return result;
}

double sin(double x) {
  const double a = x < 0.0 ? -x : x;
  if (!(a <= 0x1p27)) return nan64;
  if (a == 0.0) return x;
  const Angle angle = reduce_angle(a);
  const double value = sin_quadrant(angle.quadrant, angle.r);
  return x < 0.0 ? -value : value;
}

double cos(double x) {
  const double a = x < 0.0 ? -x : x;
  if (!(a <= 0x1p27)) return nan64;
  const Angle angle = reduce_angle(a);
  return sin_quadrant(angle.quadrant + 1, angle.r);
}

double cos_pi(double x) {
  const double a = x < 0.0 ? -x : x;
  if (!(a <= 0x1p27)) return nan64;
  const double shifted = 2.0 * a + round64;
  const double n = shifted - round64;
  return sin_quadrant(integer_of(shifted) + 1, std::fma(n, -0.5, a) * pi64);
}

uint16_t bf16_from_f32(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (x != x) return 0x7FC0;
  if (is_subnormal(x)) return static_cast<uint16_t>((bits >> 16) & 0x8000u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

float f32_from_bf16(uint16_t x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
}

float fma_flush(float a, float b, float acc) {
  if (is_subnormal(a)) a = signed_zero(a);
  if (is_subnormal(b)) b = signed_zero(b);
  if (is_subnormal(acc)) acc = signed_zero(acc);
  const double product = static_cast<double>(a) * static_cast<double>(b);  // exact: 48 bits
  const double addend = acc;
  double sum = product + addend;
  if (sum != sum) return nan32;
  if (sum - sum == 0.0) {
    // Knuth's error of the sum, then rounding to odd: an inexact sum ends in a 1, so that rounding to 24 bits later decides as on the exact
    // value.
    const double back = sum - product;
    const double error = (product - (sum - back)) + (addend - back);
    auto bits = std::bit_cast<uint64_t>(sum);
    if (error != 0.0 && (bits & 1) == 0) {
      bits += (error > 0.0) == (sum > 0.0) ? 1 : -1;
      sum = std::bit_cast<double>(bits);
    }
  }
  const double magnitude = sum < 0.0 ? -sum : sum;
  if (magnitude < 0x1p-126 - 0x1p-151) return std::signbit(sum) ? -0.0f : 0.0f;
  return static_cast<float>(sum);
}

}  // namespace godwit::math
