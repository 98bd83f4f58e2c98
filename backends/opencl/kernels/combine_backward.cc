#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void combine_backward_rows(__global const float* weights, __global const int* slot_of_row, __global const float* dx, __global OUT0* dy,
                                  long count, long width, long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long slot = slot_of_row[at / width];
  put0(dy, at, slot < 0 ? 0.0f : weights[slot] * dx[slot / top_k * width + at % width]);
}

kernel void combine_backward_weights(__global const float* y, __global const int* row_of_slot, __global const float* dx,
                                     __global float* dweights, long width, long top_k) {
  ROW_LOCALS;
  const long slot = ROW_INDEX;
  const long row = row_of_slot[slot];
  float sum = 0.0f;
  if (row >= 0) {
    __global const float* dx_t = dx + slot / top_k * width;
    __global const float* y_row = y + row * width;
    ROW(sum, width, i, lane, lane = fma(dx_t[i], y_row[i], lane))
  }
  if (ROW_LEADER) dweights[slot] = sum;
}
)CL";

void plan_combine_backward(const Call& call, Plan& plan) {
  plan.name("rows");
  const std::int64_t count = call.in[0].count(), width = call.in[0].width(), top_k = call.in[1].width();
  plan.launch(text, "combine_backward_rows", {Plan::in(1), Plan::in(3), Plan::in(4), Plan::out(0), count, width, top_k},
              plan.elements(count));
  plan.launch(text, "combine_backward_weights", {Plan::in(0), Plan::in(2), Plan::in(4), Plan::out(1), width, top_k},
              plan.rows(call.in[1].count()));
}

}  // namespace

extern const Kernel combine_backward;
const Kernel combine_backward{"combine_backward", plan_combine_backward};

}  // namespace godwit::opencl
