// Elementary functions whose bits are written down (docs/arithmetic.md lists every step): only +, −, ×, ÷, fma, comparisons and
// integer operations on the bits, in a fixed order. Another implementation of the same steps (SIMD, numpy) returns the same bits.
//
// All functions are pure and thread-safe. They need round-to-nearest and, except for the bf16 ones, gradual underflow (no
// FTZ/DAZ). A NaN result is always the positive quiet NaN without payload (0x7FC00000, 0x7FF8000000000000).
// Errors are the largest ones found over all inputs (float) or dense samples (double); docs/arithmetic.md names the commands.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace godwit::math {

// exp(x), error < 0.9 ulp. exp(±0) = 1. Overflow gives +Inf, underflow rounds once: subnormals, then +0.
[[nodiscard]] float exp(float x);

// Each x becomes exp(x), the same bits, many times as fast.
void exp_each(std::span<float> x);

// Natural logarithm, error < 0.95 ulp for every positive float. log(1) = +0, log(±0) = −Inf, log(negative) = NaN, log(+Inf) = +Inf.
[[nodiscard]] float log(float x);

// 1 / (1 + exp(−x)), error < 0.9 ulp for every float, also where the result is subnormal.
[[nodiscard]] float sigmoid(float x);

// Error < 0.9 ulp. Odd: tanh(−x) = −tanh(x), in bits; tanh(±0) = ±0.
[[nodiscard]] float tanh(float x);

// Host only, for tables and schedules. Relative error below 2e-16 unless said otherwise; special values as above.
[[nodiscard]] double exp(double x);
[[nodiscard]] double exp2(double x);
[[nodiscard]] double log(double x);

// base^exponent for finite base > 0 and finite exponent, else NaN. base^0 = 1. Relative error below 1e-14.
[[nodiscard]] double pow(double base, double exponent);

// base^t by squaring: the bits of t from the lowest up, result *= base where a bit is set, base *= base between. 0^0 = 1.
[[nodiscard]] double power(double base, uint64_t t);

// |x| ≤ 2^27, else NaN. Relative error below 3e-16, also beside the multiples of π/2.
[[nodiscard]] double sin(double x);
[[nodiscard]] double cos(double x);

// cos(π·x) for |x| ≤ 2^27, else NaN; exact at multiples of 1/2.
[[nodiscard]] double cos_pi(double x);

// The cast to bf16: nearest even; a subnormal becomes a zero of its sign, every NaN 0x7FC0. The same whatever the thread's MXCSR says.
[[nodiscard]] uint16_t bf16_from_f32(float x);
[[nodiscard]] float f32_from_bf16(uint16_t x);

// One link of a bf16 dot product: a·b + acc, where a subnormal operand counts as a zero of its sign and a result that is tiny
// *after* rounding to 24 bits with unbounded exponent, |rounded| < 2^-126, becomes a zero of its sign. That is x86's FMA under
// FTZ and DAZ, and it is computed here without them: a result is kept exactly when |a·b + acc| ≥ 2^-126 − 2^-151.
[[nodiscard]] float fma_flush(float a, float b, float acc);

// The constants, from tests/golden/tools/polynomials.py. Coefficients ascend: poly[k] belongs to the k-th power.
inline constexpr float log2e = 0x1.715476p0f;     // 1/ln 2
inline constexpr float ln2_hi = 0x1.62e4p-1f;     // ln 2 to 16 fraction bits: n · ln2_hi is exact for |n| < 512
inline constexpr float ln2_lo = 0x1.7f7d1cp-20f;  // ln 2 − ln2_hi
// (exp(r) − 1) / r on |r| ≤ ln2/2
inline constexpr std::array<float, 6> exp_poly = {
    0x1p0f, 0x1.fffff8p-2f, 0x1.55548ep-3f, 0x1.555b9ap-5f, 0x1.123bfp-7f, 0x1.684fe4p-10f,
};
// (log(1+f) − f) / f² on |f| ≤ 1/3
inline constexpr std::array<float, 9> log_poly = {
    -0x1p-1f,       0x1.5555p-2f,    -0x1.ffff6ap-3f, 0x1.99d268p-3f,  -0x1.55884ep-3f,
    0x1.1eb8dep-3f, -0x1.f56284p-4f, 0x1.1ee68ap-3f,  -0x1.03037ap-3f,
};
// (tanh(x) − x) / x³ in x², on |x| ≤ 1
inline constexpr std::array<float, 8> tanh_poly = {
    -0x1.555552p-2f, 0x1.111044p-3f, -0x1.b9f8acp-5f, 0x1.64d3f4p-6f, -0x1.194358p-7f, 0x1.91c5e2p-9f, -0x1.b4d302p-11f, 0x1.f5564p-14f,
};
inline constexpr double log2e64 = 0x1.71547652b82fep0;    // 1/ln 2
inline constexpr double ln2_hi64 = 0x1.62e42fefa38p-1;    // ln 2 to 42 fraction bits
inline constexpr double ln2_lo64 = 0x1.ef35793c7673p-45;  // ln 2 − ln2_hi64
inline constexpr double ln2_64 = 0x1.62e42fefa39efp-1;    // ln 2
// (exp(r) − 1) / r on |r| ≤ ln2/2
inline constexpr std::array<double, 11> exp64_poly = {
    0x1p0,
    0x1p-1,
    0x1.55555555554bbp-3,
    0x1.555555555309ep-5,
    0x1.11111111388f9p-7,
    0x1.6c16c17d2e454p-10,
    0x1.a01a00cb68039p-13,
    0x1.a019a9eb41c53p-16,
    0x1.71dfff2008edep-19,
    0x1.28a0c0f05f159p-22,
    0x1.ac20789ee2a0bp-26,
};
// (log((1+s)/(1−s)) − 2s) / s³ in s², on |s| ≤ 1/5
inline constexpr std::array<double, 8> log64_poly = {
    0x1.555555555554fp-1, 0x1.999999999c14ap-2, 0x1.24924921e8862p-2, 0x1.c71c748b450b6p-3,
    0x1.745c4c0429a45p-3, 0x1.3b35989239b65p-3, 0x1.0dce55b7d4e3bp-3, 0x1.1b6e6fc60ba7dp-3,
};
inline constexpr double two_over_pi = 0x1.45f306dc9c883p-1;   // 2/π
inline constexpr double half_pi_1 = 0x1.921fb58p0;            // π/2 to 25 fraction bits
inline constexpr double half_pi_2 = -0x1.dde974p-27;          // what is left, to 52 fraction bits
inline constexpr double half_pi_3 = 0x1.1a62633145c07p-54;    // what is left then
inline constexpr double half_pi_4 = -0x1.f1976b7ed8fbcp-110;  // and the last 53 bits
inline constexpr double pi64 = 0x1.921fb54442d18p1;           // π
// (sin(r) − r) / r³ in r², on |r| ≤ π/4
inline constexpr std::array<double, 6> sin_poly = {
    -0x1.5555555555548p-3, 0x1.111111110f75cp-7,   -0x1.a01a019bf1fc4p-13,
    0x1.71de355ee5043p-19, -0x1.ae5e545b758bcp-26, 0x1.5d8e2f8d91d3p-33,
};
// (cos(r) − 1 + r²/2) / r⁴ in r², on |r| ≤ π/4
inline constexpr std::array<double, 6> cos_poly = {
    0x1.555555555554bp-5,   -0x1.6c16c16c1504bp-10, 0x1.a01a019c9773cp-16,
    -0x1.27e4f7f8e48edp-22, 0x1.1ee9e1583270bp-29,  -0x1.8fa99010a4496p-37,
};

}  // namespace godwit::math
