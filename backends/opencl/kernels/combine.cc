#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void combine(__global const float* y, __global const float* weights, __global const int* row_of_slot, __global float* x, long count,
                    long width, long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long t = at / width, i = at % width;
  float chain = 0.0f;
  for (long slot = t * top_k; slot < (t + 1) * top_k; ++slot) {
    const long row = row_of_slot[slot];
    if (row >= 0) chain = fma(weights[slot], y[row * width + i], chain);
  }
  x[at] = chain + 0.0f;
}
)CL";

void plan_combine(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "combine", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), count, call.in[0].width(), call.in[1].width()},
              plan.elements(count));
}

}  // namespace

extern const Kernel combine;
const Kernel combine{"combine", plan_combine};

}  // namespace godwit::opencl
