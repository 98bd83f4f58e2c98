// dx = r·(g − h·c), g = dy·w, h = x·r, c = Σ g·h / d.
#include <cmath>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  const float* w = call.in[1].f32();
  const Sink dx(call.out[0]);
  call.pool->ranges(call.in[0].rows(), 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* x = call.in[0].f32() + row * width;
      const float* dy = call.in[3].f32() + row * width;
      const F32 r = set1(call.in[2].f32()[row]);
      // Beyond a ragged end dy and x load as +0; only a non-finite r could make a term there, and the select keeps it out.
      const float dot = row_reduce(width, [&](F32 lane, std::int64_t i, int n) {
        const F32 term = fma(load_n(dy + i, n) * load_n(w + i, n), load_n(x + i, n) * r, lane);
        return n == lanes ? term : select(first(n), term, lane);
      });
      const F32 c = set1(dot / static_cast<float>(width));
      vectors(width, [&](std::int64_t i, int n) {
        const F32 g = load_n(dy + i, n) * load_n(w + i, n);
        const F32 h = load_n(x + i, n) * r;
        dx.put(row * width + i, r * fnma(h, c, g), n);
      });
    }
  });
}

}  // namespace

extern const Kernel rms_norm_backward;
const Kernel rms_norm_backward{
    .op = "rms_norm_backward",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1101,
};

}  // namespace godwit::cpu::GODWIT_ISA
