// dy[row] = w·dx_t; dweights = ROW(dx_t·y[row]).
#include <algorithm>
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t width = call.in[0].width();
  const std::int64_t top_k = call.in[1].width();
  const float* y = call.in[0].f32();
  const float* weights = call.in[1].f32();
  const std::int32_t* row_of_slot = call.in[2].i32();
  const std::int32_t* slot_of_row = call.in[3].i32();
  const float* dx = call.in[4].f32();
  const Sink dy(call.out[0]);
  call.pool->ranges(call.in[0].rows(), 32, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int32_t slot = slot_of_row[row];
      if (slot < 0) {
        dy.clear(row * width, width);
        continue;
      }
      const F32 weight = set1(weights[slot]);
      const float* d = dx + slot / top_k * width;
      vectors(width, [&](std::int64_t i, int n) { dy.put(row * width + i, weight * load_n(d + i, n), n); });
    }
  });
  call.pool->ranges(call.in[1].count(), 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t slot = begin; slot < end; ++slot) {
      const std::int32_t row = row_of_slot[slot];
      call.out[1].f32()[slot] = row < 0 ? 0.0f : row_dot(width, dx + slot / top_k * width, y + row * width);
    }
  });
}

}  // namespace

extern const Kernel combine_backward;
const Kernel combine_backward{
    .op = "combine_backward",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
