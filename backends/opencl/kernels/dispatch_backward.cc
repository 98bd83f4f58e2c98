#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void dispatch_backward(__global const float* dy, __global const int* row_of_slot, __global float* dx, long count, long width,
                              long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long t = at / width, i = at % width;
  float chain = 0.0f;
  for (long k = 0; k < top_k; ++k) {
    const long row = row_of_slot[t * top_k + k];
    if (row >= 0) chain = chain + dy[row * width + i];
  }
  dx[at] = chain + 0.0f;
}
)CL";

void plan_dispatch_backward(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "dispatch_backward", {Plan::in(0), Plan::in(1), Plan::out(0), count, call.in[0].width(), call.in[1].width()},
              plan.elements(count));
}

}  // namespace

extern const Kernel dispatch_backward;
const Kernel dispatch_backward{"dispatch_backward", plan_dispatch_backward};

}  // namespace godwit::opencl
