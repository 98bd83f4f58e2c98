// dlogits = (exp(z − lse) − [label])·weight.
#include <algorithm>
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t vocabulary = call.in[0].width();
  const float* lse = call.in[1].f32();
  const std::int32_t* labels = call.in[2].i32();
  const float* weights = call.in[3].f32();
  call.pool->ranges(call.in[0].rows(), 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* z = call.in[0].f32() + row * vocabulary;
      float* dlogits = call.out[0].f32() + row * vocabulary;
      if (labels[row] < 0 || labels[row] >= vocabulary) {
        std::fill_n(dlogits, vocabulary, 0.0f);
        continue;
      }
      const float label_logit = z[labels[row]];  // dlogits may lie where z does
      const F32 l = set1(lse[row]);
      const F32 weight = set1(weights[row]);
      vectors(vocabulary, [&](std::int64_t i, int n) { store_n(dlogits + i, exp(load_n(z + i, n) - l) * weight, n); });
      alignas(64) float v[lanes];
      store(v, (exp(set1(label_logit) - l) - set1(1.0f)) * weight);
      dlogits[labels[row]] = v[0];
    }
  });
}

}  // namespace

extern const Kernel cross_entropy_backward;
const Kernel cross_entropy_backward{
    .op = "cross_entropy_backward",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
