#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void cross_entropy_backward(__global const float* logits, __global const float* lse, __global const int* labels,
                                   __global const float* weights, __global OUT0* dlogits, long width) {
  const long t = ROW_INDEX;
  const int label = labels[t];
  const int labelled = label >= 0 && label < width;
  const float weight = weights[t], sum = lse[t];
  __global const float* z = logits + t * width;
  __global OUT0* dz = dlogits + t * width;
  FOR_COLUMNS(i, width) {
    const float p = exp_of(z[i] - sum);
    put0(dz, i, labelled ? (p - (i == label ? 1.0f : 0.0f)) * weight : 0.0f);
  }
}
)CL";

void plan_cross_entropy_backward(const Call& call, Plan& plan) {
  plan.name("rows");
  plan.launch(text, "cross_entropy_backward", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::in(3), Plan::out(0), call.in[0].width()},
              plan.rows(call.in[2].count()));
}

}  // namespace

extern const Kernel cross_entropy_backward;
const Kernel cross_entropy_backward{"cross_entropy_backward", plan_cross_entropy_backward};

}  // namespace godwit::opencl
