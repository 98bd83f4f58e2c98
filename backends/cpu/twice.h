// Results that are made twice, in registers: the second time from operands the compiler cannot know to be the same.
#pragma once

#include "simd.h"

namespace godwit::cpu::GODWIT_ISA {

// x, opaque.
inline F32 again(F32 x) {
#if defined(GODWIT_SIMD_512)
  asm volatile("" : "+v"(x.v));
#elif defined(GODWIT_SIMD_256)
  asm volatile("" : "+x"(x.a), "+x"(x.b));
#else
  asm volatile("" : "+m"(x));
#endif
  return x;
}

// Whether all pairs it was shown had the same bits.
class Same {
 public:
  void look(I32 a, I32 b) { differences_ = differences_ | (a - b); }
  void look(F32 a, F32 b) { look(bits(a), bits(b)); }
  void look(float a, float b) { look(set1(a), set1(b)); }
  [[nodiscard]] bool holds() const {
    alignas(64) std::int32_t all[lanes];
    storei(all, differences_);
    std::int32_t any = 0;
    for (const std::int32_t one : all) any |= one;
    return any == 0;
  }

 private:
  I32 differences_ = set1i(0);
};

}  // namespace godwit::cpu::GODWIT_ISA
