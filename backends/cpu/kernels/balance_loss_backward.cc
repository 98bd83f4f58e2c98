// dlogits = ((w_i − u_t) / q_t)·s·(1 − s), w_i = (f_i / T)·weight, u_t = Σ w_i·s_i/q_t.
#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// w by sample [S, E], then s per thread [E].
std::int64_t workspace(const Call& call) {
  return ((call.in[2].count() - 1) * call.in[0].width() + call.pool->threads() * (call.in[0].width() + lanes)) * 4 + 64;
}

void run(const Call& call) {
  const std::int64_t experts = call.in[0].width();
  const std::int64_t top_k = call.in[1].width();
  const std::int32_t* samples = call.in[2].i32();
  const std::int64_t sample_count = call.in[2].count() - 1;
  const float weight = call.in[3].f32()[0];
  auto* w = reinterpret_cast<float*>(call.workspace);
  float* scratch = w + sample_count * experts;
  for (std::int64_t s = 0; s < sample_count; ++s) {
    const std::int64_t rows = samples[s + 1] - samples[s];
    float* ws = w + s * experts;
    std::fill_n(ws, experts, 0.0f);
    for (std::int64_t slot = samples[s] * top_k; slot < samples[s + 1] * top_k; ++slot) ws[call.in[1].i32()[slot]] += 1.0f;
    for (std::int64_t i = 0; i < experts && rows > 0; ++i) {
      const float f = static_cast<float>(experts * static_cast<std::int64_t>(ws[i])) / static_cast<float>(top_k * rows);
      ws[i] = (f / static_cast<float>(rows)) * weight;
    }
  }
  call.pool->ranges(call.in[0].rows(), 32, [&](std::int64_t begin, std::int64_t end, int thread) {
    float* s = scratch + thread * (experts + lanes);
    std::int64_t sample = 0;
    for (std::int64_t t = begin; t < end; ++t) {
      float* dlogits = call.out[0].f32() + t * experts;
      while (sample < sample_count && t >= samples[sample + 1]) ++sample;
      if (sample == sample_count) {
        std::fill_n(dlogits, experts, 0.0f);
        continue;
      }
      const float* ws = w + sample * experts;
      const float* z = call.in[0].f32() + t * experts;
      vectors(experts, [&](std::int64_t i, int n) { store_n(s + i, sigmoid(load_n(z + i, n)), n); });
      const F32 q = set1(row_reduce(experts, [&](F32 lane, std::int64_t i, int n) { return lane + load_n(s + i, n); }));
      const F32 u = set1(row_reduce(experts, [&](F32 lane, std::int64_t i, int n) {
        // Beyond n the weight is +0 and s / q finite or NaN; the select keeps 0 · NaN out.
        const F32 term = fma(load_n(ws + i, n), load_n(s + i, n) / q, lane);
        return n == lanes ? term : select(first(n), term, lane);
      }));
      vectors(experts, [&](std::int64_t i, int n) {
        const F32 si = load_n(s + i, n);
        store_n(dlogits + i, ((load_n(ws + i, n) - u) / q) * (si * (set1(1.0f) - si)), n);
      });
    }
  });
}

}  // namespace

extern const Kernel balance_loss_backward;
const Kernel balance_loss_backward{
    .op = "balance_loss_backward",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = workspace,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
