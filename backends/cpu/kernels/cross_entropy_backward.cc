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
  const Sink dlogits(call.out[0]);
  call.pool->ranges(call.in[0].rows(), 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* z = call.in[0].f32() + row * vocabulary;
      if (labels[row] < 0 || labels[row] >= vocabulary) {
        dlogits.clear(row * vocabulary, vocabulary);
        continue;
      }
      const float label_logit = z[labels[row]];  // dlogits may lie where z does
      const F32 l = set1(lse[row]);
      const F32 weight = set1(weights[row]);
      vectors(vocabulary, [&](std::int64_t i, int n) { dlogits.put(row * vocabulary + i, exp(load_n(z + i, n) - l) * weight, n); });
      dlogits.put(row * vocabulary + labels[row], (exp(set1(label_logit) - l) - set1(1.0f)) * weight, 1);
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
    .by_rows = 0b1111,
};

}  // namespace godwit::cpu::GODWIT_ISA
