#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
inline int load_sign(long total, long experts, long count) {
  const long below_mean = total - experts * count;
  return below_mean > 0 ? 1 : below_mean < 0 ? -1 : 0;
}

kernel void router_bias_update(__global const float* bias, __global const int* counts, __global const float* speed,
                               __global float* bias_next, int experts) {
  const int e = get_global_id(0);
  if (e >= experts) return;
  long total = 0;
  for (int i = 0; i < experts; ++i) total += counts[i];
  int n = 0;
  for (int i = 0; i < experts; ++i) n += load_sign(total, experts, counts[i]);
  bias_next[e] = bias[e] + speed[0] * ((float)load_sign(total, experts, counts[e]) - (float)n / (float)experts);
}
)CL";

void plan_router_bias_update(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t experts = call.in[0].count();
  plan.launch(text, "router_bias_update", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), static_cast<std::int32_t>(experts)},
              plan.elements(experts));
}

}  // namespace

extern const Kernel router_bias_update;
const Kernel router_bias_update{"router_bias_update", plan_router_bias_update};

}  // namespace godwit::opencl
