// Every thread that computes works in IEEE's default mode: nearest even, subnormals kept, exceptions masked. A library loaded with
// fast-math may have changed it, so threads set it when they begin and the backend looks again after each program.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit::cpu {

inline void set_ieee_mode() {
#if defined(__x86_64__)
  _mm_setcsr(0x1F80);
#elif defined(__aarch64__)
  const std::uint64_t zero = 0;
  asm volatile("msr fpcr, %0" : : "r"(zero));
#endif
}

inline bool in_ieee_mode() {
#if defined(__x86_64__)
  return (_mm_getcsr() & 0xFFC0u) == 0x1F80u;
#elif defined(__aarch64__)
  std::uint64_t value = 0;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value == 0;
#else
  return true;
#endif
}

}  // namespace godwit::cpu
