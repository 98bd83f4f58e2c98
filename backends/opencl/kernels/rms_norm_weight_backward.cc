#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void rms_norm_weight_backward(__global const float* x, __global const float* r, __global const float* dy, __global const int* samples,
                                     __global float* dw, long width, int sample_count) {
  const long c = get_global_id(0);
  if (c >= width) return;
  float total;
  TOKENS(total, samples, sample_count, first, rows, sum,
         DOT(sum, rows, i, dy[(first + i) * width + c], x[(first + i) * width + c] * r[first + i]))
  dw[c] = total;
}
)CL";

void plan_rms_norm_weight_backward(const Call& call, Plan& plan) {
  plan.name("columns");
  const std::int64_t width = call.in[0].width();
  plan.launch(text, "rms_norm_weight_backward",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::out(0), width, static_cast<std::int32_t>(call.in[3].count() - 1)},
              plan.elements(width));
}

}  // namespace

extern const Kernel rms_norm_weight_backward;
const Kernel rms_norm_weight_backward{"rms_norm_weight_backward", plan_rms_norm_weight_backward};

}  // namespace godwit::opencl
