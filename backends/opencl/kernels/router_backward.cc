#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void router_backward(__global const float* logits_all, __global const int* experts_all, __global const float* dweights,
                            __global float* dlogits_all, long rows, int expert_count, int top_k, int normalize, float scaling) {
  const long row = get_global_id(0);
  if (row >= rows) return;
  __global const float* logits = logits_all + row * expert_count;
  __global const int* experts = experts_all + row * top_k;
  __global const float* a = dweights + row * top_k;
  __global float* dlogits = dlogits_all + row * expert_count;
  float total = 0.0f;
  for (int k = 0; k < top_k; ++k) total = total + sigmoid_of(logits[experts[k]]);
  const float q = total + 1e-20f;
  float u = 0.0f;
  for (int k = 0; k < top_k; ++k) u = fma(sigmoid_of(logits[experts[k]]) / q, a[k], u);
  for (int i = 0; i < expert_count; ++i) dlogits[i] = 0.0f;
  for (int k = 0; k < top_k; ++k) {
    const float s = sigmoid_of(logits[experts[k]]);
    const float ds = normalize ? (scaling / q) * (a[k] - u) : scaling * a[k];
    dlogits[experts[k]] = ds * (s * (1.0f - s));
  }
}
)CL";

void plan_router_backward(const Call& call, Plan& plan) {
  plan.name("one item a row");
  const std::int64_t rows = call.in[0].rows();
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  plan.launch(text, "router_backward",
              {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), rows, small(call.in[0].width()), small(call.in[1].width()),
               small(call.integer("normalize")), call.real32("scaling")},
              plan.elements(rows));
}

}  // namespace

extern const Kernel router_backward;
const Kernel router_backward{"router_backward", plan_router_backward};

}  // namespace godwit::opencl
