// What could go wrong: an error above the promise in some binade, a special value, a second rounding in the subnormals, a
// compiler that contracts or reorders, a flush that is not the hardware's. Bits are pinned by checksums over all of float's range.
#include "base/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit::math {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr double inf64 = std::numeric_limits<double>::infinity();

uint32_t bits(float x) {
  return std::bit_cast<uint32_t>(x);
}
uint64_t bits(double x) {
  return std::bit_cast<uint64_t>(x);
}
float from_bits(uint64_t x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x));
}

// libm in double is the judge: its own error is below 2^-28 ulp of float.
double sigmoid_reference(double x) {
  return x >= 0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x));
}
double exp_reference(double x) {
  return std::exp(x);
}
double log_reference(double x) {
  return std::log(x);
}
double tanh_reference(double x) {
  return std::tanh(x);
}

struct Function {
  const char* name;
  float (*ours)(float);
  double (*reference)(double);
  double ulp_max;
  uint64_t checksum;  // see `checksum`
};

const Function functions[] = {
    {"exp", exp, exp_reference, 0.9, 0x9527B289F4167FF6},
    {"log", log, log_reference, 0.95, 0xEF73404EF138CA41},
    {"sigmoid", sigmoid, sigmoid_reference, 0.9, 0x5249409865B530DE},
    {"tanh", tanh, tanh_reference, 0.9, 0xE34E68CCCF1D20B3},
};

double error_in_ulp(float value, double reference) {
  if (std::isnan(reference)) return std::isnan(value) ? 0.0 : inf64;
  const float rounded = static_cast<float>(reference);
  if (std::isinf(rounded) || std::isinf(value)) return value == rounded ? 0.0 : inf64;
  if (value == static_cast<float>(reference)) return 0.5;  // also keeps log(1) = 0 away from frexp
  int exponent = 0;
  std::frexp(reference, &exponent);
  return std::fabs(value - reference) / std::ldexp(1.0, std::max(exponent - 1, -126) - 23);
}

struct Worst {
  double ulp = 0.0;
  float at = 0.0f;
};

Worst worst_error(const Function& function, uint64_t first, uint64_t stride) {
  Worst worst;
  for (uint64_t i = first; i < uint64_t{1} << 32; i += stride) {
    const float x = from_bits(i);
    const double ulp = error_in_ulp(function.ours(x), function.reference(x));
    if (!(ulp <= worst.ulp)) worst = {ulp, x};
  }
  return worst;
}

// Σ_j word_j · ((2j+1) · 0x9E3779B97F4A7C15) mod 2^64: the factors are odd, so any single changed word changes the sum.
struct Checksum {
  uint64_t sum = 0;
  uint64_t factor = 0x9E3779B97F4A7C15;
  void add(uint64_t word) {
    sum += word * factor;
    factor += 2 * uint64_t{0x9E3779B97F4A7C15};
  }
};

// Over the outputs' bits for the inputs with bits 0, 4093, 2 · 4093, … < 2^32 (NaN included: the output is then 0x7FC00000).
uint64_t checksum(float (*function)(float)) {
  Checksum sum;
  for (uint64_t i = 0; i < uint64_t{1} << 32; i += 4093) sum.add(bits(function(from_bits(i))));
  return sum.sum;
}

TEST(Math, f32_bits_are_the_documented_ones) {
  for (const Function& function : functions) {
    const uint64_t found = checksum(function.ours);
    EXPECT_EQ(found, function.checksum) << function.name << std::hex << " 0x" << found;
  }
}

// Over x = 0.001 · i (a product in double) for i = 0 … 9999, each function's bits in the order below.
TEST(Math, f64_bits_are_the_documented_ones) {
  Checksum sum;
  for (int i = 0; i < 10000; ++i) {
    const double x = 0.001 * i;
    for (const double value :
         {exp(x), exp2(-x), log(x), pow(10000.0, -x), power(0.999, static_cast<uint64_t>(i)), sin(1000.0 * x), cos(1000.0 * x), cos_pi(x)})
      sum.add(bits(value));
  }
  EXPECT_EQ(sum.sum, 0xDB72568DD1FABAD7) << std::hex << "0x" << sum.sum;
}

TEST(Math, f32_errors_are_below_the_promise) {
  for (const Function& function : functions) {
    const Worst worst = worst_error(function, 17, 1021);
    EXPECT_LT(worst.ulp, function.ulp_max) << function.name << " at " << worst.at;
  }
}

// Every float. Minutes; run with --gtest_also_run_disabled_tests --gtest_filter=Math.DISABLED_*
TEST(Math, DISABLED_exhaustive_errors) {
  for (const Function& function : functions) {
    const uint64_t thread_count = std::max(1u, std::thread::hardware_concurrency());
    std::vector<Worst> found(thread_count);
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < thread_count; ++i) threads.emplace_back([&, i] { found[i] = worst_error(function, i, thread_count); });
    for (std::thread& thread : threads) thread.join();
    Worst worst;
    for (const Worst& one : found)
      if (one.ulp > worst.ulp) worst = one;
    EXPECT_LT(worst.ulp, function.ulp_max);
    std::printf("%s: %.6f ulp at %a\n", function.name, worst.ulp, static_cast<double>(worst.at));
  }
}

TEST(Math, exp_special_values) {
  EXPECT_EQ(bits(exp(0.0f)), bits(1.0f));
  EXPECT_EQ(bits(exp(-0.0f)), bits(1.0f));
  EXPECT_EQ(exp(inf), inf);
  EXPECT_EQ(exp(0x1.62e43p6f), inf);  // the first above 128 · ln 2
  EXPECT_LT(exp(0x1.62e42ep6f), inf);
  EXPECT_EQ(bits(exp(-inf)), 0u);
  EXPECT_EQ(bits(exp(-104.0f)), 0u);
  EXPECT_EQ(bits(exp(-103.97f)), 1u);  // between 2^-150 and 2^-149
  EXPECT_EQ(bits(exp(from_bits(0xFFC12345))), 0x7FC00000u);
}

TEST(Math, log_special_values) {
  EXPECT_EQ(bits(log(1.0f)), 0u);
  EXPECT_EQ(log(0.0f), -inf);
  EXPECT_EQ(log(-0.0f), -inf);
  EXPECT_EQ(log(inf), inf);
  EXPECT_EQ(bits(log(-1.0f)), 0x7FC00000u);
  EXPECT_EQ(bits(log(-inf)), 0x7FC00000u);
  EXPECT_EQ(bits(log(from_bits(0xFFC12345))), 0x7FC00000u);
  EXPECT_EQ(log(0x1p-149f), static_cast<float>(-149 * 0.6931471805599453));
}

TEST(Math, sigmoid_and_tanh_special_values) {
  for (const float zero : {0.0f, -0.0f}) EXPECT_EQ(sigmoid(zero), 0.5f);
  EXPECT_EQ(sigmoid(inf), 1.0f);
  EXPECT_EQ(bits(sigmoid(-inf)), 0u);
  EXPECT_EQ(bits(sigmoid(-103.97f)), 1u);
  EXPECT_EQ(bits(sigmoid(from_bits(0xFFC12345))), 0x7FC00000u);
  EXPECT_EQ(bits(tanh(-0.0f)), 0x80000000u);
  EXPECT_EQ(bits(tanh(0x1p-149f)), 1u);
  EXPECT_EQ(tanh(inf), 1.0f);
  EXPECT_EQ(tanh(-inf), -1.0f);
  EXPECT_EQ(bits(tanh(from_bits(0xFFC12345))), 0x7FC00000u);
  for (const float x : {1e-30f, 0.3f, 1.0f, 1.5f, 8.0f}) EXPECT_EQ(bits(tanh(-x)), bits(-tanh(x)));
}

TEST(Math, f64_errors_are_below_the_promise) {
  std::mt19937_64 random(1);
  const auto uniform = [&](double low, double high) { return low + (high - low) * static_cast<double>(random() >> 11) * 0x1p-53; };
  double worst_exp = 0, worst_exp2 = 0, worst_log = 0, worst_pow_tables = 0, worst_pow = 0, worst_sin = 0, worst_cos = 0, worst_cos_pi = 0;
  const auto note = [](double& worst, double value, long double reference) {
    const auto error = static_cast<double>(std::fabs((value - reference) / reference));
    if (!(error <= worst)) worst = error;
  };
  using Long = long double;
  for (int i = 0; i < 200000; ++i) {
    double x = uniform(-708, 709);
    note(worst_exp, exp(x), std::exp(Long{x}));
    x = uniform(-1021, 1023);
    note(worst_exp2, exp2(x), std::exp2(Long{x}));
    const double any = std::ldexp(uniform(0.5, 1), static_cast<int>(random() % 2070) - 1050);
    const double near_one = 1.0 + std::ldexp(uniform(0.5, 1), -1 - static_cast<int>(random() % 30));
    for (const double argument : {any, near_one}) note(worst_log, log(argument), std::log(Long{argument}));
    const double base = uniform(2, 1e7);
    const double exponent = uniform(-1, 1);
    note(worst_pow_tables, pow(base, exponent), std::pow(Long{base}, Long{exponent}));
    note(worst_pow, pow(base, 40 * exponent), std::pow(Long{base}, Long{40 * exponent}));
    const double anywhere = std::ldexp(uniform(-1, 1), 27 - static_cast<int>(random() % 30));
    const double beside_zero = static_cast<double>(1 + random() % 85000000) * 0x1.921fb54442d18p0;  // near a multiple of π/2
    for (const double angle : {anywhere, beside_zero}) {
      note(worst_sin, sin(angle), std::sin(Long{angle}));
      note(worst_cos, cos(angle), std::cos(Long{angle}));
    }
    worst_cos_pi = std::max(worst_cos_pi, std::fabs(cos_pi(anywhere) - cos(pi64 * std::fmod(anywhere, 2.0))));
  }
  EXPECT_LT(worst_exp, 2e-16);
  EXPECT_LT(worst_exp2, 2e-16);
  EXPECT_LT(worst_log, 2e-16);
  EXPECT_LT(worst_pow_tables, 3e-16);
  EXPECT_LT(worst_pow, 1e-14);
  EXPECT_LT(worst_sin, 3e-16);
  EXPECT_LT(worst_cos, 3e-16);
  EXPECT_LT(worst_cos_pi, 2e-15);  // the product π·x rounds here
}

TEST(Math, f64_special_values) {
  EXPECT_EQ(exp(0.0), 1.0);
  EXPECT_EQ(exp(-inf64), 0.0);
  EXPECT_EQ(exp(inf64), inf64);
  EXPECT_EQ(exp(710.0), inf64);
  EXPECT_EQ(bits(exp(-745.0)), 1u);
  EXPECT_EQ(bits(exp2(-1074.0)), 1u);
  EXPECT_EQ(exp2(10.0), 1024.0);
  EXPECT_EQ(exp2(1024.0), inf64);
  EXPECT_EQ(bits(log(1.0)), 0u);
  EXPECT_EQ(log(0.0), -inf64);
  EXPECT_EQ(log(inf64), inf64);
  EXPECT_TRUE(std::isnan(log(-1.0)));
  EXPECT_EQ(pow(10000.0, 0.0), 1.0);
  EXPECT_EQ(pow(2.0, -10000.0), 0.0);
  EXPECT_EQ(pow(2.0, 10000.0), inf64);
  for (const double bad : {0.0, -1.0, inf64}) EXPECT_TRUE(std::isnan(pow(bad, 1.0)));
  EXPECT_EQ(power(3.0, 0), 1.0);
  EXPECT_EQ(power(3.0, 13), 1594323.0);
  EXPECT_EQ(bits(sin(-0.0)), bits(-0.0));
  EXPECT_EQ(cos(0.0), 1.0);
  EXPECT_EQ(cos_pi(0.5), 0.0);
  EXPECT_EQ(cos_pi(1.0), -1.0);
  EXPECT_EQ(cos_pi(-2.0), 1.0);
  for (const double bad : {inf64, 0x1p28}) {
    EXPECT_TRUE(std::isnan(sin(bad)));
    EXPECT_TRUE(std::isnan(cos(bad)));
    EXPECT_TRUE(std::isnan(cos_pi(bad)));
  }
}

TEST(Math, bf16_cast) {
  EXPECT_EQ(bf16_from_f32(1.0f), 0x3F80);
  EXPECT_EQ(bf16_from_f32(from_bits(0x3F808000)), 0x3F80);  // a tie goes to even
  EXPECT_EQ(bf16_from_f32(from_bits(0x3F818000)), 0x3F82);
  EXPECT_EQ(bf16_from_f32(from_bits(0x3F808001)), 0x3F81);
  EXPECT_EQ(bf16_from_f32(from_bits(0x7F7FFFFF)), 0x7F80);  // rounds to Inf
  EXPECT_EQ(bf16_from_f32(-inf), 0xFF80);
  EXPECT_EQ(bf16_from_f32(from_bits(0x007FFFFF)), 0x0000);  // would round to 2^-126: a subnormal is flushed before
  EXPECT_EQ(bf16_from_f32(from_bits(0x807FFFFF)), 0x8000);
  EXPECT_EQ(bf16_from_f32(from_bits(0x00800000)), 0x0080);
  for (const uint32_t nan : {0x7F800001u, 0xFFFFFFFFu, 0x7FC00000u}) EXPECT_EQ(bf16_from_f32(from_bits(nan)), 0x7FC0);
  for (uint32_t i = 0; i < 65536; ++i) {
    const float wide = f32_from_bf16(static_cast<uint16_t>(i));
    EXPECT_EQ(bits(wide), i << 16);
    const bool kept = !std::isnan(wide) && (i & 0x7F80u) != 0;
    EXPECT_EQ(bf16_from_f32(wide), kept ? i : std::isnan(wide) ? 0x7FC0u : i & 0x8000u);
  }
}

TEST(Math, fma_flush_at_the_boundary) {
  const float least = 0x1p-126f;
  const float below = 1.0f - 0x1p-24f;  // least · below = 2^-126 − 2^-150: tiny, though it is a tie in the subnormal grid
  EXPECT_EQ(bits(fma_flush(least, below, 0.0f)), 0u);
  EXPECT_EQ(bits(fma_flush(-least, below, 0.0f)), 0x80000000u);
  // 2^-126 − 2^-151 rounds to 2^-126 in 24 bits and is kept; a little less is not.
  EXPECT_EQ(fma_flush(-0x1p-76f, 0x1p-75f, least), least);
  EXPECT_EQ(fma_flush(-0x1p-76f, 0x1.000002p-75f, least), 0.0f);
  EXPECT_EQ(fma_flush(least, 1.0f, 0.0f), least);
  EXPECT_EQ(fma_flush(from_bits(0x007FFFFF), 2.0f, least), least);              // a subnormal factor is zero
  EXPECT_EQ(bits(fma_flush(1.0f, -0.0f, from_bits(0x80000001))), 0x80000000u);  // as is a subnormal sum so far
  EXPECT_EQ(bits(fma_flush(1.0f, 1.0f, -1.0f)), 0u);
  EXPECT_EQ(fma_flush(0x1p127f, 2.0f, 0.0f), inf);
  EXPECT_EQ(bits(fma_flush(inf, from_bits(1), 0.0f)), 0x7FC00000u);
  EXPECT_EQ(fma_flush(1.0f, 1.0f, -inf), -inf);
  // The exact sum lies 2^-54 beside a tie of the 24-bit grid: rounding to double's 53 bits first would make it the tie.
  const float next = 1.0f + 0x1p-23f;
  EXPECT_EQ(fma_flush(0x1p-24f * (1.0f + 0x1p-15f), 1.0f - 0x1p-15f, next), next);
  EXPECT_EQ(fma_flush(-0x1p-24f * (1.0f + 0x1p-15f), 1.0f - 0x1p-15f, next), next);
}

#if defined(__x86_64__)

__attribute__((target("fma"))) float hardware_fma(float a, float b, float c) {
  return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(a), _mm_set_ss(b), _mm_set_ss(c)));
}

// Ten million cases around the boundary against x86's FMA under FTZ and DAZ.
TEST(Math, fma_flush_is_the_hardwares) {
  if (!__builtin_cpu_supports("fma")) GTEST_SKIP() << "this CPU has no FMA";
  std::mt19937_64 random(7);
  uint64_t flushed = 0;
  uint64_t least = 0;
  uint64_t differ = 0;
  for (int i = 0; i < 10'000'000; ++i) {
    const uint64_t r = random();
    const uint64_t s = random();
    // factors whose product lies within a few binades of 2^-126, in half of the cases with bf16's 8 bits
    const uint32_t mask = (s & 4) != 0 ? 0x807F0000u : 0x807FFFFFu;
    const uint32_t exponent_a = 1 + static_cast<uint32_t>(s >> 8) % 120;
    const uint32_t exponent_b = 123 + static_cast<uint32_t>(s >> 16) % 8 - exponent_a;
    float a = from_bits((static_cast<uint32_t>(r) & mask) | exponent_a << 23);
    float b = from_bits((static_cast<uint32_t>(r >> 32) & mask) | exponent_b << 23);
    float acc = 0.0f;
    const auto c = static_cast<uint32_t>(s >> 32);
    switch (s & 3) {
      case 0:  // of any size around the boundary
        acc = from_bits((c & 0x80000000u) | (c & 3) << 23 | ((c >> 8) & 0x7FFFFF));
        break;
      case 1: {  // a·b + acc within some 2^-150 of ±2^-126
        const double aim = ((c & 1) != 0 ? 1 : -1) * (0x1p-126 - 0x1p-151 * static_cast<double>((c >> 1) % 5));
        acc = from_bits(bits(static_cast<float>(aim - static_cast<double>(a) * b)) + (c >> 8) % 5 - 2);
        break;
      }
      case 2:
        acc = from_bits(c & 0x80000000u);
        break;
      default:  // any bits at all
        a = from_bits(r);
        b = from_bits(r >> 32);
        acc = from_bits(c);
    }
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);  // FTZ, DAZ
    const float hardware = hardware_fma(a, b, acc);
    const float under_mode = fma_flush(a, b, acc);
    _mm_setcsr(mode);
    const float ours = fma_flush(a, b, acc);
    flushed += hardware == 0.0f;
    least += std::fabs(hardware) == 0x1p-126f;
    differ += bits(ours) != bits(under_mode);
    if (!(std::isnan(hardware) && bits(ours) == 0x7FC00000u)) differ += bits(ours) != bits(hardware);
  }
  EXPECT_EQ(differ, 0u);
  EXPECT_GT(flushed, 1'000'000u);
  EXPECT_GT(least, 100'000u);
}

__attribute__((target("avx512f"))) float scalef(float value, float n) {
  return _mm_cvtss_f32(_mm_scalef_ss(_mm_set_ss(value), _mm_set_ss(n)));
}

// exp with vscalefps in place of the two products
float exp_by_scalef(float x) {
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const float n = std::fma(x, log2e, 0x1.8p23f) - 0x1.8p23f;
  const float r = std::fma(n, -ln2_lo, std::fma(n, -ln2_hi, x));
  float tail = exp_poly[5];
  for (int k = 4; k >= 0; --k) tail = std::fma(tail, r, exp_poly[static_cast<std::size_t>(k)]);
  return scalef(std::fma(tail, r, 1.0f), n);
}

uint64_t scalef_differs(uint64_t stride) {
  uint64_t differ = 0;
  for (uint64_t i = 0; i < uint64_t{1} << 32; i += stride) {
    const float x = from_bits(i);
    if (!std::isnan(x)) differ += bits(exp(x)) != bits(exp_by_scalef(x));
  }
  return differ;
}

TEST(Math, two_step_scaling_is_scalef) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this CPU has no AVX-512";
  EXPECT_EQ(scalef_differs(509), 0u);
}

TEST(Math, DISABLED_exhaustive_scalef) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this CPU has no AVX-512";
  EXPECT_EQ(scalef_differs(1), 0u);
}

#endif

TEST(Math, ExpOfManyHasTheBitsOfEach) {
  std::vector<float> x = {0.0f, -0.0f, inf, -inf, NAN, -104.5f, -103.9f, 88.7f, 89.5f, 1e30f, -1e30f, 0x1p-140f};
  for (uint64_t word = 0; word < (uint64_t{1} << 32); word += 1000003) x.push_back(from_bits(word));
  std::vector<float> y = x;
  exp_each(y);
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(bits(y[i]), bits(exp(x[i]))) << x[i];
}

}  // namespace
}  // namespace godwit::math
