#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void rms_norm(__global const float* x_all, __global const float* w, __global OUT0* y_all, __global float* r_all, long width,
                     float eps) {
  ROW_LOCALS;
  const long row = ROW_INDEX;
  __global const float* x = x_all + row * width;
  __global OUT0* y = y_all + row * width;
  float squares;
  ROW(squares, width, i, lane, lane = fma(x[i], x[i], lane))
  const float r = 1.0f / sqrt(squares / (float)width + eps);
  FOR_COLUMNS(i, width) put0(y, i, (x[i] * r) * w[i]);
  if (ROW_LEADER) r_all[row] = r;
}
)CL";

void plan_rms_norm(const Call& call, Plan& plan) {
  plan.name("rows");
  plan.launch(text, "rms_norm", {Plan::in(0), Plan::in(1), Plan::out(0), Plan::out(1), call.in[0].width(), call.real32("eps")},
              plan.rows(call.in[0].rows()));
}

}  // namespace

extern const Kernel rms_norm;
const Kernel rms_norm{"rms_norm", plan_rms_norm};

}  // namespace godwit::opencl
