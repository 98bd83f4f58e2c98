// exp, log and sigmoid on sixteen lanes, with the bits of docs/arithmetic-functions.md.
#pragma once

#include "simd.h"

namespace godwit::cpu::GODWIT_ISA {

namespace detail {

inline constexpr float log2e = 0x1.715476p0f;
inline constexpr float ln2_hi = 0x1.62e4p-1f;
inline constexpr float ln2_lo = 0x1.7f7d1cp-20f;
inline constexpr float round_magic = 0x1.8p23f;

// Two normal powers of two whose product is 2^n: value · first is exact for a value near 1, so the product rounds once.
struct Scale {
  F32 first, second;
};
inline Scale scale_of(I32 n) {
  const I32 half = shift_right_arithmetic<1>(n);
  return {from_bits(shift_left<23>(half + set1i(127))), from_bits(shift_left<23>((n - half) + set1i(127)))};
}

// exp(x) = 2^n · (1 + r · tail), for |x| < 128
struct Reduced {
  I32 n;
  F32 r, tail;
};
inline Reduced reduce_exp(F32 x) {
  const F32 magic = set1(round_magic);
  const F32 shifted = fma(x, set1(log2e), magic);
  const F32 n = shifted - magic;
  F32 r = fnma(n, set1(ln2_hi), x);
  r = fnma(n, set1(ln2_lo), r);
  F32 tail = set1(0x1.684fe4p-10f);
  tail = fma(tail, r, set1(0x1.123bfp-7f));
  tail = fma(tail, r, set1(0x1.555b9ap-5f));
  tail = fma(tail, r, set1(0x1.55548ep-3f));
  tail = fma(tail, r, set1(0x1.fffff8p-2f));
  tail = fma(tail, r, set1(0x1p0f));
  return {bits(shifted) - bits(magic), r, tail};
}

inline F32 quiet_nan() {
  return from_bits(set1i(0x7FC00000));
}

}  // namespace detail

inline F32 exp(F32 x) {
  const Mask nan = unordered(x, x);
  const F32 low = set1(-104.0f), high = set1(89.0f);  // beyond them the result is 0, or infinite, as at them
  F32 a = select(less(x, low), low, x);
  a = select(less(high, a), high, a);
  const detail::Reduced e = detail::reduce_exp(a);
  const F32 value = fma(e.tail, e.r, set1(1.0f));
#if defined(GODWIT_SIMD_512)
  const F32 y = {_mm512_scalef_ps(value.v, to_f32(e.n).v)};
#else
  const detail::Scale scale = detail::scale_of(e.n);
  const F32 y = value * scale.first * scale.second;
#endif
  return select(nan, detail::quiet_nan(), y);
}

inline F32 log(F32 x) {
  const F32 zero_ = zero();
  const F32 infinity = set1(__builtin_inff());
  const Mask tiny = less(x, set1(0x1p-126f));
  const F32 a = select(tiny, x * set1(0x1p23f), x);
  const F32 exponent = select(tiny, set1(-23.0f), zero_);
  const I32 b = bits(a);
  const I32 k = shift_right_arithmetic<23>(b - set1i(0x3F2AAAAB));
  const F32 f = from_bits(b - shift_left<23>(k)) - set1(1.0f);
  const F32 e = exponent + to_f32(k);
  const F32 product = e * set1(detail::ln2_hi);
  const F32 hi = product + f;
  const F32 lo = f - (hi - product);
  F32 h = set1(-0x1.03037ap-3f);
  h = fma(h, f, set1(0x1.1ee68ap-3f));
  h = fma(h, f, set1(-0x1.f56284p-4f));
  h = fma(h, f, set1(0x1.1eb8dep-3f));
  h = fma(h, f, set1(-0x1.55884ep-3f));
  h = fma(h, f, set1(0x1.99d268p-3f));
  h = fma(h, f, set1(-0x1.ffff6ap-3f));
  h = fma(h, f, set1(0x1.5555p-2f));
  h = fma(h, f, set1(-0x1p-1f));
  const F32 tail = (f * f) * h;
  F32 y = hi + (lo + fma(e, set1(detail::ln2_lo), tail));
  y = select(equal(x, infinity), infinity, y);
  y = select(equal(x, zero_), zero_ - infinity, y);
  return select(unordered(x, x) | less(x, zero_), detail::quiet_nan(), y);
}

[[gnu::always_inline]] inline F32 sigmoid(F32 x) {
  const F32 one = set1(1.0f);
  const F32 zero_ = zero();
  const Mask negative = less(x, zero_);
  F32 a = select(negative, x, zero_ - x);
  a = select(less(a, set1(-104.0f)), set1(-104.0f), a);
  a = select(unordered(x, x), zero_, a);
  const detail::Reduced e = detail::reduce_exp(a);
  const detail::Scale scale = detail::scale_of(e.n);
  const F32 p = fma(e.tail, e.r, one);
  const F32 p_lo = fma(e.tail, e.r, one - p);
  const F32 t = p * scale.first * scale.second;
  const F32 d = one + t;
  const F32 d_lo = (t - (d - one)) + p_lo * scale.first * scale.second;
  const F32 numerator = select(negative, p, one);
  const F32 numerator_lo = select(negative, p_lo, zero_);
  const F32 g = one / d;
  const F32 q = numerator * g;
  F32 rest = fnma(q, d, numerator);
  rest = fnma(q, d_lo, rest);
  rest = rest + numerator_lo;
  const F32 y = fma(rest, g, q);
  return select(unordered(x, x), detail::quiet_nan(), select(negative, y * scale.first * scale.second, y));
}

}  // namespace godwit::cpu::GODWIT_ISA
