// Rotation of interleaved pairs of columns, row by row: what rope and its gradient share.
//
// A row's cos and sin are spread to two factors per column once and serve all its heads.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {

// Of every pair (a, b) of lanes: (a, a), (b, b) or (b, a).
inline F32 even_lanes(F32 x) {
#if defined(GODWIT_SIMD_512)
  return {_mm512_moveldup_ps(x.v)};
#elif defined(GODWIT_SIMD_256)
  return {_mm256_moveldup_ps(x.a), _mm256_moveldup_ps(x.b)};
#else
  for (int i = 0; i < lanes; i += 2) x.v[i + 1] = x.v[i];
  return x;
#endif
}
inline F32 odd_lanes(F32 x) {
#if defined(GODWIT_SIMD_512)
  return {_mm512_movehdup_ps(x.v)};
#elif defined(GODWIT_SIMD_256)
  return {_mm256_movehdup_ps(x.a), _mm256_movehdup_ps(x.b)};
#else
  for (int i = 0; i < lanes; i += 2) x.v[i] = x.v[i + 1];
  return x;
#endif
}
inline F32 swapped_lanes(F32 x) {
#if defined(GODWIT_SIMD_512)
  return {_mm512_permute_ps(x.v, 0xB1)};
#elif defined(GODWIT_SIMD_256)
  return {_mm256_permute_ps(x.a, 0xB1), _mm256_permute_ps(x.b, 0xB1)};
#else
  for (int i = 0; i < lanes; i += 2) std::swap(x.v[i], x.v[i + 1]);
  return x;
#endif
}

// The two factors of a pair's columns.
struct PairFactors {
  float first[2];
  float second[2];
};

inline std::int64_t rope_workspace(const Call& call) {
  return call.pool->threads() * 4 * call.in[2].width() * static_cast<std::int64_t>(sizeof(float));
}

// in = {x, positions, cos, sin}, out = {y}. `factors(c, s)` gives a pair's factors, `rotate(x, first, second)` the rotated lanes.
template <typename Factors, typename Rotate>
void rotate_rows(const Call& call, Factors factors, Rotate rotate) {
  const float* x = call.in[0].f32();
  const std::int32_t* positions = call.in[1].i32();
  const float* cos = call.in[2].f32();
  const float* sin = call.in[3].f32();
  const Sink y(call.out[0]);
  const bool in_place = call.out[0].data == call.in[0].data;
  const std::int64_t rows = call.in[0].shape[0];
  const std::int64_t width = call.in[0].shape[1];
  const std::int64_t heads = call.integer("heads");
  const std::int64_t offset = call.integer("offset");
  const std::int64_t head_width = width / heads;
  const std::int64_t table_rows = call.in[2].shape[0];
  const std::int64_t pairs = call.in[2].shape[1];
  constexpr std::int64_t worth_a_thread = 1 << 13;  // columns
  call.pool->ranges(rows, worth_a_thread / std::max<std::int64_t>(width, 1), [&](std::int64_t begin, std::int64_t end, int thread) {
    float* first = reinterpret_cast<float*>(call.workspace) + thread * 4 * pairs;
    float* second = first + 2 * pairs;
    for (std::int64_t t = begin; t < end; ++t) {
      const std::int64_t row = std::clamp<std::int64_t>(positions[t], 0, table_rows - 1) * pairs;
      for (std::int64_t i = 0; i < pairs; ++i) {
        const PairFactors f = factors(cos[row + i], sin[row + i]);
        std::copy_n(f.first, 2, first + 2 * i);
        std::copy_n(f.second, 2, second + 2 * i);
      }
      const float* from = x + t * width;
      const auto copy = [&](std::int64_t column, std::int64_t count) {
        vectors(in_place ? 0 : count, [&](std::int64_t i, int n) { y.put(t * width + column + i, load_n(from + column + i, n), n); });
      };
      for (std::int64_t head = 0; head < width; head += head_width) {
        const std::int64_t column = head + offset;
        copy(head, offset);
        copy(column + 2 * pairs, head_width - offset - 2 * pairs);
        vectors(2 * pairs, [&](std::int64_t i, int n) {
          y.put(t * width + column + i, rotate(load_n(from + column + i, n), load_n(first + i, n), load_n(second + i, n)), n);
        });
      }
    }
  });
}

}  // namespace godwit::cpu::GODWIT_ISA
