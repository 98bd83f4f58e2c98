// dw = Σ over tokens of dy·(x·r), by samples.
#include <algorithm>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  const float* x = call.in[0].f32();
  const float* r = call.in[1].f32();
  const float* dy = call.in[2].f32();
  const std::int32_t* samples = call.in[3].i32();
  const std::int64_t sample_count = call.in[3].count() - 1;
  call.pool->ranges((width + lanes - 1) / lanes, 1, [&](std::int64_t begin, std::int64_t end, int) {
    column_sums(samples, sample_count, begin * lanes, std::min(width, end * lanes), call.out[0].f32(),
                [&](F32 chain, std::int64_t row, std::int64_t column, int n) {
                  return fma(load_n(dy + row * width + column, n), load_n(x + row * width + column, n) * set1(r[row]), chain);
                });
  });
}

}  // namespace

extern const Kernel rms_norm_weight_backward;
const Kernel rms_norm_weight_backward{
    .op = "rms_norm_weight_backward",
    .variant = [](const Call&) { return "f32 columns"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
