// x_t = Σ over slots of w·y[row], in slot order.
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  const std::int64_t top_k = call.in[1].width();
  const float* y = call.in[0].f32();
  call.pool->ranges(call.in[1].rows(), 32, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = begin; t < end; ++t) {
      const float* weights = call.in[1].f32() + t * top_k;
      const std::int32_t* rows = call.in[2].i32() + t * top_k;
      vectors(width, [&](std::int64_t i, int n) {
        F32 sum = zero();
        for (std::int64_t k = 0; k < top_k; ++k) {
          if (rows[k] >= 0) sum = fma(set1(weights[k]), load_n(y + rows[k] * width + i, n), sum);
        }
        store_n(call.out[0].f32() + t * width + i, sum + zero(), n);
      });
    }
  });
}

}  // namespace

extern const Kernel combine;
const Kernel combine{
    .op = "combine",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b110,
};

}  // namespace godwit::cpu::GODWIT_ISA
