#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void log_sum_exp(__global const float* logits, __global float* lse, long width) {
  ROW_LOCALS;
  const long row = ROW_INDEX;
  __global const float* z = logits + row * width;
  float m, total;
  ROW_MAX(m, width, i, z[i])
  ROW(total, width, i, lane, lane = lane + exp_of(z[i] - m))
  if (ROW_LEADER) lse[row] = m + log_of(total);
}
)CL";

void plan_log_sum_exp(const Call& call, Plan& plan) {
  plan.name("rows");
  plan.launch(text, "log_sum_exp", {Plan::in(0), Plan::out(0), call.in[0].width()}, plan.rows(call.in[0].rows()));
}

}  // namespace

extern const Kernel log_sum_exp;
const Kernel log_sum_exp{"log_sum_exp", plan_log_sum_exp};

}  // namespace godwit::opencl
