// logprob = z_label − lse; loss = Σ weight·(−logprob), by samples.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t rows = call.in[0].rows();
  const std::int64_t vocabulary = call.in[0].width();
  const float* lse = call.in[1].f32();
  const std::int32_t* labels = call.in[2].i32();
  const float* weights = call.in[3].f32();
  const std::int32_t* samples = call.in[4].i32();
  const std::int64_t sample_count = call.in[4].count() - 1;
  float* logprob = call.out[0].f32();
  const auto labelled = [&](std::int64_t row) { return labels[row] >= 0 && labels[row] < vocabulary; };
  for (std::int64_t row = 0; row < rows; ++row)
    logprob[row] = labelled(row) ? call.in[0].f32()[row * vocabulary + labels[row]] - lse[row] : 0.0f;
  SumTree<float> over_samples;
  for (std::int64_t s = 0; s < sample_count; ++s) {
    SumTree<float> over_segments;
    for (std::int64_t begin = samples[s]; begin < samples[s + 1]; begin += segment_length) {
      const std::int64_t end = std::min<std::int64_t>(begin + segment_length, samples[s + 1]);
      float chain = 0.0f;
      for (std::int64_t row = begin; row < end; ++row) chain = std::fma(labelled(row) ? weights[row] : 0.0f, -logprob[row], chain);
      over_segments.push(chain);
    }
    over_samples.push(over_segments.empty() ? 0.0f : over_segments.root() + 0.0f);
  }
  call.out[1].f32()[0] = (over_samples.empty() ? 0.0f : over_samples.root()) + 0.0f;
}

}  // namespace

extern const Kernel cross_entropy;
const Kernel cross_entropy{
    .op = "cross_entropy",
    .variant = [](const Call&) { return "plain"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
