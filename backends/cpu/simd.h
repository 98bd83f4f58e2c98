// Sixteen binary32 lanes on every instruction set: one __m512, two __m256, or plain C++.
//
// The kernels are written once over this type. Every operation here is IEEE-exact and lane by lane, so an instruction set cannot change a
// bit. fma is always one rounding. Nothing here reorders.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(GODWIT_ISA_avx512) || defined(GODWIT_ISA_avx512_bf16)
#define GODWIT_SIMD_512 1
#include <immintrin.h>
#elif defined(GODWIT_ISA_avx2)
#define GODWIT_SIMD_256 1
#include <immintrin.h>
#elif defined(__x86_64__)
#include <immintrin.h>
#endif

namespace godwit::cpu::GODWIT_ISA {

inline constexpr int lanes = 16;

#if defined(GODWIT_SIMD_512)

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

inline F32 zero() {
  return {_mm512_setzero_ps()};
}
inline F32 set1(float x) {
  return {_mm512_set1_ps(x)};
}
inline F32 load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
inline void store(float* p, F32 x) {
  _mm512_storeu_ps(p, x.v);
}
// Past the caches, for what is too large for them: p is 64-byte aligned, and end_streaming() comes before another thread reads it.
inline void store_streaming(float* p, F32 x) {
  _mm512_stream_ps(p, x.v);
}
inline void end_streaming() {
  _mm_sfence();
}
inline void store_halves(float* low, float* high, F32 x) {
  _mm256_storeu_ps(low, _mm512_castps512_ps256(x.v));
  _mm256_storeu_ps(high, _mm512_extractf32x8_ps(x.v, 1));
}
inline Mask first(int n) {
  return {static_cast<__mmask16>((1u << n) - 1u)};
}  // 0 <= n <= 16
inline F32 load_first(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(first(n).v, p)};
}  // the rest +0
inline void store_first(float* p, F32 x, int n) {
  _mm512_mask_storeu_ps(p, first(n).v, x.v);
}
inline F32 operator+(F32 a, F32 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline F32 operator-(F32 a, F32 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline F32 operator*(F32 a, F32 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline F32 operator/(F32 a, F32 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline F32 sqrt(F32 a) {
  return {_mm512_sqrt_ps(a.v)};
}
inline F32 fma(F32 a, F32 b, F32 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline F32 fnma(F32 a, F32 b, F32 c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}  // −a·b + c
// a > b ? a : b, per lane; b where either is NaN.
inline F32 larger(F32 a, F32 b) {
  return {_mm512_max_ps(a.v, b.v)};
}
inline Mask less(F32 a, F32 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)};
}
inline Mask equal(F32 a, F32 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)};
}
inline Mask unordered(F32 a, F32 b) {
  return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q)};
}
inline Mask operator|(Mask a, Mask b) {
  return {static_cast<__mmask16>(a.v | b.v)};
}
inline Mask operator&(Mask a, Mask b) {
  return {static_cast<__mmask16>(a.v & b.v)};
}
inline bool any(Mask m) {
  return m.v != 0;
}
inline F32 select(Mask m, F32 yes, F32 no) {
  return {_mm512_mask_blend_ps(m.v, no.v, yes.v)};
}
inline I32 bits(F32 a) {
  return {_mm512_castps_si512(a.v)};
}
inline F32 from_bits(I32 a) {
  return {_mm512_castsi512_ps(a.v)};
}
inline I32 set1i(std::int32_t x) {
  return {_mm512_set1_epi32(x)};
}
inline I32 loadi(const std::int32_t* p) {
  return {_mm512_loadu_si512(p)};
}
inline void storei(std::int32_t* p, I32 x) {
  _mm512_storeu_si512(p, x.v);
}
inline I32 operator+(I32 a, I32 b) {
  return {_mm512_add_epi32(a.v, b.v)};
}
inline I32 operator-(I32 a, I32 b) {
  return {_mm512_sub_epi32(a.v, b.v)};
}
inline I32 operator&(I32 a, I32 b) {
  return {_mm512_and_si512(a.v, b.v)};
}
inline I32 operator|(I32 a, I32 b) {
  return {_mm512_or_si512(a.v, b.v)};
}
template <int n>
inline I32 shift_left(I32 a) {
  return {_mm512_slli_epi32(a.v, n)};
}
template <int n>
inline I32 shift_right(I32 a) {  // logical
  return {_mm512_srli_epi32(a.v, n)};
}
template <int n>
inline I32 shift_right_arithmetic(I32 a) {
  return {_mm512_srai_epi32(a.v, n)};
}
inline Mask lessi(I32 a, I32 b) {
  return {_mm512_cmplt_epi32_mask(a.v, b.v)};
}
inline I32 selecti(Mask m, I32 yes, I32 no) {
  return {_mm512_mask_blend_epi32(m.v, no.v, yes.v)};
}
inline F32 to_f32(I32 a) {
  return {_mm512_cvtepi32_ps(a.v)};
}
inline I32 truncate(F32 a) {
  return {_mm512_cvttps_epi32(a.v)};
}  // |a| < 2^31
inline I32 loadi8(const std::int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline I32 loadu8(const std::uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
// Sixteen bf16, widened.
inline F32 load_bf16(const std::uint16_t* p) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16))};
}
// The low 16 bits of every lane.
inline void store_low16(std::uint16_t* p, I32 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(x.v));
}

#elif defined(GODWIT_SIMD_256)

struct F32 {
  __m256 a, b;
};
struct I32 {
  __m256i a, b;
};
struct Mask {
  __m256 a, b;  // all ones or all zeros per lane
};

inline F32 zero() {
  return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
inline F32 set1(float x) {
  return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
inline F32 load(const float* p) {
  return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
inline void store(float* p, F32 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
inline void store_streaming(float* p, F32 x) {
  _mm256_stream_ps(p, x.a);
  _mm256_stream_ps(p + 8, x.b);
}
inline void end_streaming() {
  _mm_sfence();
}
inline void store_halves(float* low, float* high, F32 x) {
  _mm256_storeu_ps(low, x.a);
  _mm256_storeu_ps(high, x.b);
}
inline Mask first(int n) {
  const __m256i low = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i high = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  const __m256i count = _mm256_set1_epi32(n);
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(count, low)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, high))};
}
inline F32 load_first(const float* p, int n) {
  const Mask m = first(n);
  return {_mm256_maskload_ps(p, _mm256_castps_si256(m.a)), _mm256_maskload_ps(p + 8, _mm256_castps_si256(m.b))};
}
inline void store_first(float* p, F32 x, int n) {
  const Mask m = first(n);
  _mm256_maskstore_ps(p, _mm256_castps_si256(m.a), x.a);
  _mm256_maskstore_ps(p + 8, _mm256_castps_si256(m.b), x.b);
}
inline F32 operator+(F32 x, F32 y) {
  return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
inline F32 operator-(F32 x, F32 y) {
  return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
inline F32 operator*(F32 x, F32 y) {
  return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
inline F32 operator/(F32 x, F32 y) {
  return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
inline F32 sqrt(F32 x) {
  return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
inline F32 fma(F32 x, F32 y, F32 z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline F32 fnma(F32 x, F32 y, F32 z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
inline F32 larger(F32 x, F32 y) {
  return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
inline Mask less(F32 x, F32 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)};
}
inline Mask equal(F32 x, F32 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_EQ_OQ), _mm256_cmp_ps(x.b, y.b, _CMP_EQ_OQ)};
}
inline Mask unordered(F32 x, F32 y) {
  return {_mm256_cmp_ps(x.a, y.a, _CMP_UNORD_Q), _mm256_cmp_ps(x.b, y.b, _CMP_UNORD_Q)};
}
inline Mask operator|(Mask x, Mask y) {
  return {_mm256_or_ps(x.a, y.a), _mm256_or_ps(x.b, y.b)};
}
inline Mask operator&(Mask x, Mask y) {
  return {_mm256_and_ps(x.a, y.a), _mm256_and_ps(x.b, y.b)};
}
inline bool any(Mask m) {
  return (_mm256_movemask_ps(m.a) | _mm256_movemask_ps(m.b)) != 0;
}
inline F32 select(Mask m, F32 yes, F32 no) {
  return {_mm256_blendv_ps(no.a, yes.a, m.a), _mm256_blendv_ps(no.b, yes.b, m.b)};
}
inline I32 bits(F32 x) {
  return {_mm256_castps_si256(x.a), _mm256_castps_si256(x.b)};
}
inline F32 from_bits(I32 x) {
  return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)};
}
inline I32 set1i(std::int32_t x) {
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
inline I32 loadi(const std::int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
inline void storei(std::int32_t* p, I32 x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x.a);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), x.b);
}
inline I32 operator+(I32 x, I32 y) {
  return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)};
}
inline I32 operator-(I32 x, I32 y) {
  return {_mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b)};
}
inline I32 operator&(I32 x, I32 y) {
  return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
inline I32 operator|(I32 x, I32 y) {
  return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)};
}
template <int n>
inline I32 shift_left(I32 x) {
  return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)};
}
template <int n>
inline I32 shift_right(I32 x) {
  return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)};
}
template <int n>
inline I32 shift_right_arithmetic(I32 x) {
  return {_mm256_srai_epi32(x.a, n), _mm256_srai_epi32(x.b, n)};
}
inline Mask lessi(I32 x, I32 y) {
  return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(y.a, x.a)), _mm256_castsi256_ps(_mm256_cmpgt_epi32(y.b, x.b))};
}
inline I32 selecti(Mask m, I32 yes, I32 no) {
  return {_mm256_blendv_epi8(no.a, yes.a, _mm256_castps_si256(m.a)), _mm256_blendv_epi8(no.b, yes.b, _mm256_castps_si256(m.b))};
}
inline F32 to_f32(I32 x) {
  return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}
inline I32 truncate(F32 x) {
  return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)};
}
inline I32 loadi8(const std::int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline I32 loadu8(const std::uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
inline F32 load_bf16(const std::uint16_t* p) {
  const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
          _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16))};
}
inline void store_low16(std::uint16_t* p, I32 x) {
  const __m256i low = _mm256_set1_epi32(0xFFFF);
  const __m256i packed = _mm256_packus_epi32(_mm256_and_si256(x.a, low), _mm256_and_si256(x.b, low));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xD8));
}

#else

struct F32 {
  alignas(64) float v[lanes];
};
struct I32 {
  alignas(64) std::int32_t v[lanes];
};
struct Mask {
  alignas(64) std::int32_t v[lanes];  // −1 or 0
};

#define GODWIT_LANES(i) for (int i = 0; i < lanes; ++i)
inline F32 set1(float x) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = x;
  return r;
}
inline F32 zero() {
  return set1(0.0f);
}
inline F32 load(const float* p) {
  F32 r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void store(float* p, F32 x) {
  std::memcpy(p, x.v, sizeof x.v);
}
inline void store_streaming(float* p, F32 x) {
  store(p, x);
}
inline void end_streaming() {}
inline void store_halves(float* low, float* high, F32 x) {
  std::memcpy(low, x.v, sizeof x.v / 2);
  std::memcpy(high, x.v + 8, sizeof x.v / 2);
}
inline Mask first(int n) {
  Mask r;
  GODWIT_LANES(i) r.v[i] = i < n ? -1 : 0;
  return r;
}
inline F32 load_first(const float* p, int n) {
  F32 r = zero();
  std::memcpy(r.v, p, static_cast<std::size_t>(n) * sizeof(float));
  return r;
}
inline void store_first(float* p, F32 x, int n) {
  std::memcpy(p, x.v, static_cast<std::size_t>(n) * sizeof(float));
}
#define GODWIT_BINARY(op)                      \
  inline F32 operator op(F32 a, F32 b) {       \
    F32 r;                                     \
    GODWIT_LANES(i) r.v[i] = a.v[i] op b.v[i]; \
    return r;                                  \
  }
GODWIT_BINARY(+)
GODWIT_BINARY(-)
GODWIT_BINARY(*)
GODWIT_BINARY(/)
#undef GODWIT_BINARY
inline F32 sqrt(F32 a) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = std::sqrt(a.v[i]);
  return r;
}
inline F32 fma(F32 a, F32 b, F32 c) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = std::fma(a.v[i], b.v[i], c.v[i]);
  return r;
}
inline F32 fnma(F32 a, F32 b, F32 c) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = std::fma(-a.v[i], b.v[i], c.v[i]);
  return r;
}
inline F32 larger(F32 a, F32 b) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
  return r;
}
#define GODWIT_COMPARE(name, condition)            \
  inline Mask name(F32 a, F32 b) {                 \
    Mask r;                                        \
    GODWIT_LANES(i) r.v[i] = (condition) ? -1 : 0; \
    return r;                                      \
  }
GODWIT_COMPARE(less, a.v[i] < b.v[i])
GODWIT_COMPARE(equal, a.v[i] == b.v[i])
GODWIT_COMPARE(unordered, a.v[i] != a.v[i] || b.v[i] != b.v[i])
#undef GODWIT_COMPARE
inline Mask operator|(Mask a, Mask b) {
  Mask r;
  GODWIT_LANES(i) r.v[i] = a.v[i] | b.v[i];
  return r;
}
inline Mask operator&(Mask a, Mask b) {
  Mask r;
  GODWIT_LANES(i) r.v[i] = a.v[i] & b.v[i];
  return r;
}
inline bool any(Mask m) {
  std::int32_t all = 0;
  GODWIT_LANES(i) all |= m.v[i];
  return all != 0;
}
inline F32 select(Mask m, F32 yes, F32 no) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = m.v[i] != 0 ? yes.v[i] : no.v[i];
  return r;
}
inline I32 bits(F32 a) {
  return std::bit_cast<I32>(a);
}
inline F32 from_bits(I32 a) {
  return std::bit_cast<F32>(a);
}
inline I32 set1i(std::int32_t x) {
  I32 r;
  GODWIT_LANES(i) r.v[i] = x;
  return r;
}
inline I32 loadi(const std::int32_t* p) {
  I32 r;
  std::memcpy(r.v, p, sizeof r.v);
  return r;
}
inline void storei(std::int32_t* p, I32 x) {
  std::memcpy(p, x.v, sizeof x.v);
}
#define GODWIT_BINARY(op)                                                                                                         \
  inline I32 operator op(I32 a, I32 b) {                                                                                          \
    I32 r;                                                                                                                        \
    GODWIT_LANES(i) r.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) op static_cast<std::uint32_t>(b.v[i])); \
    return r;                                                                                                                     \
  }
GODWIT_BINARY(+)
GODWIT_BINARY(-)
GODWIT_BINARY(&)
GODWIT_BINARY(|)
#undef GODWIT_BINARY
template <int n>
inline I32 shift_left(I32 a) {
  GODWIT_LANES(i) a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) << n);
  return a;
}
template <int n>
inline I32 shift_right(I32 a) {
  GODWIT_LANES(i) a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) >> n);
  return a;
}
template <int n>
inline I32 shift_right_arithmetic(I32 a) {
  GODWIT_LANES(i) a.v[i] = a.v[i] >> n;
  return a;
}
inline Mask lessi(I32 a, I32 b) {
  Mask r;
  GODWIT_LANES(i) r.v[i] = a.v[i] < b.v[i] ? -1 : 0;
  return r;
}
inline I32 selecti(Mask m, I32 yes, I32 no) {
  I32 r;
  GODWIT_LANES(i) r.v[i] = m.v[i] != 0 ? yes.v[i] : no.v[i];
  return r;
}
inline F32 to_f32(I32 a) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = static_cast<float>(a.v[i]);
  return r;
}
inline I32 truncate(F32 a) {
  I32 r;
  GODWIT_LANES(i) r.v[i] = a.v[i] > -2147483648.0f && a.v[i] < 2147483648.0f ? static_cast<std::int32_t>(a.v[i]) : INT32_MIN;
  return r;
}
inline I32 loadi8(const std::int8_t* p) {
  I32 r;
  GODWIT_LANES(i) r.v[i] = p[i];
  return r;
}
inline I32 loadu8(const std::uint8_t* p) {
  I32 r;
  GODWIT_LANES(i) r.v[i] = p[i];
  return r;
}
inline F32 load_bf16(const std::uint16_t* p) {
  F32 r;
  GODWIT_LANES(i) r.v[i] = std::bit_cast<float>(static_cast<std::uint32_t>(p[i]) << 16);
  return r;
}
inline void store_low16(std::uint16_t* p, I32 x) {
  GODWIT_LANES(i) p[i] = static_cast<std::uint16_t>(x.v[i]);
}

#endif

// f32 → bf16 in the low 16 bits of each lane: nearest even, subnormals to zero of their sign, NaN to 0x7FC0.
inline I32 to_bf16(F32 x) {
  const I32 b = bits(x);
  const I32 exponent = b & set1i(0x7F800000);
  const I32 rounded = shift_right<16>(b + set1i(0x7FFF) + (shift_right<16>(b) & set1i(1)));
  const I32 flushed = shift_right<16>(b) & set1i(0x8000);
  const Mask normal = lessi(set1i(0), exponent);
  return selecti(unordered(x, x), set1i(0x7FC0), selecti(normal, rounded, flushed));
}
inline void store_bf16(std::uint16_t* p, F32 x) {
#if defined(GODWIT_ISA_avx512_bf16)
  // vcvtneps2bf16 rounds and flushes as to_bf16 does, but keeps a NaN's payload.
  const __m256i y = std::bit_cast<__m256i>(_mm512_cvtneps_pbh(x.v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_mask_mov_epi16(y, unordered(x, x).v, _mm256_set1_epi16(0x7FC0)));
#else
  store_low16(p, to_bf16(x));
#endif
}
inline void store_bf16_first(std::uint16_t* p, F32 x, int n) {
  alignas(64) std::uint16_t all[lanes];
  store_bf16(all, x);
  std::memcpy(p, all, static_cast<std::size_t>(n) * sizeof(std::uint16_t));
}
inline F32 load_bf16_first(const std::uint16_t* p, int n) {
  alignas(64) std::uint16_t all[lanes] = {};
  std::memcpy(all, p, static_cast<std::size_t>(n) * sizeof(std::uint16_t));
  return load_bf16(all);
}

#if defined(__x86_64__)
// While it lives, this thread's arithmetic treats subnormal operands as zero and flushes tiny results: the mode of bf16 chains.
class FlushMode {
 public:
  FlushMode() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
  ~FlushMode() { _mm_setcsr(saved_); }
  FlushMode(const FlushMode&) = delete;
  FlushMode& operator=(const FlushMode&) = delete;

 private:
  unsigned saved_;
};
#endif

}  // namespace godwit::cpu::GODWIT_ISA
