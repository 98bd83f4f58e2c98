// Σ over samples of Σ_i f_i·P_i, times weight.
#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// Normalised scores of one sample's rows [rows, E], then P and f [E].
std::int64_t workspace(const Call& call) {
  return (call.in[0].count() + 3 * (call.in[0].width() + lanes)) * 4 + 64;
}

void run(const Call& call) {
  const std::int64_t experts = call.in[0].width();
  const std::int64_t top_k = call.in[1].width();
  const std::int32_t* samples = call.in[2].i32();
  const std::int64_t sample_count = call.in[2].count() - 1;
  auto* share = reinterpret_cast<float*>(call.workspace);  // h_ti = s_ti / q_t
  float* mean = share + call.in[0].count();
  float* load_share = mean + experts + lanes;
  call.pool->ranges(call.in[0].rows(), 32, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const float* z = call.in[0].f32() + t * experts;
      float* h = share + t * experts;
      vectors(experts, [&](std::int64_t i, int n) { store_n(h + i, sigmoid(load_n(z + i, n)), n); });
      const F32 q = set1(row_reduce(experts, [&](F32 lane, std::int64_t i, int n) { return lane + load_n(h + i, n); }));
      vectors(experts, [&](std::int64_t i, int n) { store_n(h + i, load_n(h + i, n) / q, n); });
    }
  });
  SumTree<float> over_samples;
  for (std::int64_t s = 0; s < sample_count; ++s) {
    const std::int64_t rows = samples[s + 1] - samples[s];
    if (rows == 0) {
      over_samples.push(0.0f);
      continue;
    }
    std::fill_n(load_share, experts, 0.0f);
    const std::int32_t one_sample[2] = {samples[s], samples[s + 1]};
    column_sums(one_sample, 1, 0, experts, mean,
                [&](F32 chain, std::int64_t row, std::int64_t column, int n) { return chain + load_n(share + row * experts + column, n); });
    // Counts are below 2^24 rows of a sample, exact in binary32, until they are multiplied.
    for (std::int64_t slot = samples[s] * top_k; slot < samples[s + 1] * top_k; ++slot) load_share[call.in[1].i32()[slot]] += 1.0f;
    for (std::int64_t i = 0; i < experts; ++i) {
      load_share[i] = static_cast<float>(experts * static_cast<std::int64_t>(load_share[i])) / static_cast<float>(top_k * rows);
      mean[i] = mean[i] / static_cast<float>(rows);
    }
    over_samples.push(row_dot(experts, load_share, mean));
  }
  call.out[0].f32()[0] = ((over_samples.empty() ? 0.0f : over_samples.root()) + 0.0f) * call.in[3].f32()[0];
}

}  // namespace

extern const Kernel balance_loss;
const Kernel balance_loss{
    .op = "balance_loss",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = workspace,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
