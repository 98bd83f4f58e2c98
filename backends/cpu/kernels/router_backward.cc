// dlogits at the chosen experts, through the weights alone.
#include <algorithm>
#include <cmath>
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

float sigmoid1(float x) {
  alignas(64) float v[lanes];
  store(v, sigmoid(set1(x)));
  return v[0];
}

void run(const Call& call) {
  const std::int64_t experts = call.in[0].width();
  const std::int64_t top_k = call.in[1].width();
  const bool normalize = call.integer("normalize") != 0;
  const float scaling = call.real32("scaling");
  call.pool->ranges(call.in[0].rows(), 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* z = call.in[0].f32() + row * experts;
      const std::int32_t* chosen = call.in[1].i32() + row * top_k;
      const float* a = call.in[2].f32() + row * top_k;
      float* dlogits = call.out[0].f32() + row * experts;
      std::fill_n(dlogits, experts, 0.0f);
      float total = 0.0f;
      for (std::int64_t k = 0; k < top_k; ++k) {
        dlogits[chosen[k]] = sigmoid1(z[chosen[k]]);  // holds s until the end
        total = total + dlogits[chosen[k]];
      }
      const float q = total + 1e-20f;
      float u = 0.0f;
      for (std::int64_t k = 0; k < top_k; ++k) u = std::fma(dlogits[chosen[k]] / q, a[k], u);
      for (std::int64_t k = 0; k < top_k; ++k) {
        const float s = dlogits[chosen[k]];
        const float ds = normalize ? (scaling / q) * (a[k] - u) : scaling * a[k];
        dlogits[chosen[k]] = ds * (s * (1.0f - s));
      }
    }
  });
}

}  // namespace

extern const Kernel router_backward;
const Kernel router_backward{
    .op = "router_backward",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b111,
};

}  // namespace godwit::cpu::GODWIT_ISA
