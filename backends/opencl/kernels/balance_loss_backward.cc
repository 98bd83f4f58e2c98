#include "families/balance.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void expert_weights(__global const int* samples, __global const int* counts, __global const float* weight, __global float* w,
                           long count, long width, long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long rows = samples[at / width + 1] - samples[at / width];
  w[at] = (share_of(width, counts[at], top_k, rows) / (float)rows) * weight[0];
}

kernel void balance_loss_backward(__global const float* logits, __global const int* samples, __global const float* w_all,
                                  __global float* dlogits, long width, int sample_count) {
  ROW_LOCALS;
  const long t = ROW_INDEX;
  __global const float* z = logits + t * width;
  __global float* dz = dlogits + t * width;
  const int s = sample_of(samples, sample_count, t);
  if (s < 0) {
    FOR_COLUMNS(i, width) dz[i] = 0.0f;
    return;
  }
  __global const float* w = w_all + s * width;
  float q, u;
  ROW(q, width, i, lane, lane = lane + sigmoid_of(z[i]))
  ROW(u, width, i, lane, lane = fma(w[i], sigmoid_of(z[i]) / q, lane))
  FOR_COLUMNS(i, width) {
    const float sigma = sigmoid_of(z[i]);
    dz[i] = ((w[i] - u) / q) * (sigma * (1.0f - sigma));
  }
}
)CL";

void plan_balance_loss_backward(const Call& call, Plan& plan) {
  plan.name("rows");
  const std::int64_t experts = call.in[0].width(), samples = call.in[2].count() - 1;
  const std::string all = std::string(balance_text) + text;
  const Argument counts = plan_counts(call, plan);
  const Argument w = plan.scratch(samples * experts * 4);
  plan.launch(all, "expert_weights", {Plan::in(2), counts, Plan::in(3), w, samples * experts, experts, call.in[1].width()},
              plan.elements(samples * experts));
  plan.launch(all, "balance_loss_backward", {Plan::in(0), Plan::in(2), w, Plan::out(0), experts, static_cast<std::int32_t>(samples)},
              plan.rows(call.in[0].rows()));
}

}  // namespace

extern const Kernel balance_loss_backward;
const Kernel balance_loss_backward{"balance_loss_backward", plan_balance_loss_backward};

}  // namespace godwit::opencl
