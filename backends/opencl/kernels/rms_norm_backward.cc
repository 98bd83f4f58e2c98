#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void rms_norm_backward(__global const float* x_all, __global const float* w, __global const float* r_all,
                              __global const float* dy_all, __global OUT0* dx_all, long width) {
  ROW_LOCALS;
  const long row = ROW_INDEX;
  __global const float* x = x_all + row * width;
  __global const float* dy = dy_all + row * width;
  __global OUT0* dx = dx_all + row * width;
  const float r = r_all[row];
  float sum;
  ROW(sum, width, i, lane, lane = fma(dy[i] * w[i], x[i] * r, lane))
  const float c = sum / (float)width;
  FOR_COLUMNS(i, width) put0(dx, i, r * fma(-(x[i] * r), c, dy[i] * w[i]));
}
)CL";

void plan_rms_norm_backward(const Call& call, Plan& plan) {
  plan.name("rows");
  plan.launch(text, "rms_norm_backward", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::out(0), call.in[0].width()},
              plan.rows(call.in[0].rows()));
}

}  // namespace

extern const Kernel rms_norm_backward;
const Kernel rms_norm_backward{"rms_norm_backward", plan_rms_norm_backward};

}  // namespace godwit::opencl
