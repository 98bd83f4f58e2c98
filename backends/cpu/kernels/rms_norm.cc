// y = (x·r)·w, r = 1/sqrt(mean(x²) + eps).
#include <cmath>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  const float* w = call.in[1].f32();
  const float eps = call.real32("eps");
  const Sink y(call.out[0]);
  call.pool->ranges(call.in[0].rows(), 16, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const float* x = call.in[0].f32() + row * width;
      const float r = 1.0f / std::sqrt(row_dot(width, x, x) / static_cast<float>(width) + eps);
      const F32 rs = set1(r);
      vectors(width, [&](std::int64_t i, int n) { y.put(row * width + i, (load_n(x + i, n) * rs) * load_n(w + i, n), n); });
      call.out[1].f32()[row] = r;
    }
  });
}

}  // namespace

extern const Kernel rms_norm;
const Kernel rms_norm{
    .op = "rms_norm",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b01,
};

}  // namespace godwit::cpu::GODWIT_ISA
