// Checks of element-wise results by cheaper arithmetic (Kernel::agrees): they find what harms, not the last bits.
#pragma once

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {

// The sigmoid to 1e-4 of itself, or to `rough_sigmoid_least`.
inline constexpr float rough_sigmoid_least = 4e-35f;
inline F32 rough_sigmoid(F32 x) {
  const Mask negative = less(x, zero());
  const F32 low = set1(-80.0f);
  F32 a = select(negative, x, zero() - x);
  a = select(less(a, low), low, a);
  const F32 scaled = a * set1(0x1.715476p0f);
  const F32 shifted = scaled + set1(0x1.8p23f);
  const F32 r = scaled - (shifted - set1(0x1.8p23f));
  F32 p = fma(set1(0.0096181f), r, set1(0.0555041f));
  p = fma(p, r, set1(0.2402265f));
  p = fma(p, r, set1(0.6931472f));
  p = fma(p, r, set1(1.0f));
  const F32 t = from_bits(bits(p) + shift_left<23>(bits(shifted) - bits(set1(0x1.8p23f))));
  return select(negative, t, set1(1.0f)) / (set1(1.0f) + t);
}

inline F32 magnitude_of(F32 x) {
  return from_bits(bits(x) & set1i(0x7FFFFFFF));
}

// What a product x · y may be off by where one of them is subnormal, which agreeing flushes, or is as little as the rough sigmoid's error.
inline F32 least_of(F32 x, F32 y) {
  const F32 little = set1(1e-3f);
  return (magnitude_of(x) + little) * set1(rough_sigmoid_least) * (magnitude_of(y) + little);
}

// Agreeing itself needs no subnormal numbers, which are slow.
#if defined(__x86_64__)
using Agreeing = FlushMode;
#else
struct Agreeing {};
#endif

// What one result's elements are held against: as they are stored, to `part` of what is expected and `more` besides. NaN never agrees.
class Agreement {
 public:
  explicit Agreement(const View& made) : made_(made), part_(set1(made.bf16() ? 0x1.2p-8f : 0x1p-12f)) {}

  [[gnu::always_inline]] void look(std::int64_t i, F32 expected, F32 more, int n) {
    const F32 is = made_.bf16() ? load_bf16_first(made_.u16() + i, n) : load_n(made_.f32() + i, n);
    const F32 difference = magnitude_of(is - expected);
    const F32 bound = fma(magnitude_of(expected), part_, more + set1(1e-30f));
    Mask off = less(bound, difference) | unordered(difference, bound);
    if (n < lanes) off = off & first(n);
    if (any(off)) disagree(i, difference, bound, n);
  }
  [[nodiscard]] Disagreement as(int output) const { return {output, row_, difference_, bound_}; }
  [[nodiscard]] bool holds() const { return row_ < 0; }

 private:
  [[gnu::noinline]] void disagree(std::int64_t i, F32 difference, F32 bound, int n) {
    if (row_ >= 0) return;
    alignas(64) float d[lanes], b[lanes];
    store(d, difference);
    store(b, bound);
    for (int k = n - 1; k >= 0; --k) {
      if (d[k] <= b[k]) continue;
      row_ = (i + k) / made_.width();
      difference_ = static_cast<double>(d[k]);
      bound_ = static_cast<double>(b[k]);
    }
  }

  View made_;
  F32 part_;
  std::int64_t row_ = -1;
  double difference_ = 0;
  double bound_ = 0;
};

}  // namespace godwit::cpu::GODWIT_ISA
