#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void swiglu_backward(__global const float* gate, __global const float* up, __global const float* dy, __global OUT0* dgate,
                            __global OUT1* dup, long count) {
  const long i = get_global_id(0);
  if (i >= count) return;
  const float g = gate[i], u = up[i], d = dy[i];
  const float s = sigmoid_of(g);
  put1(dup, i, d * (g * s));
  put0(dgate, i, (d * u) * (s * fma(g, 1.0f - s, 1.0f)));
}
)CL";

void plan_swiglu_backward(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  plan.launch(text, "swiglu_backward", {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), Plan::out(1), count}, plan.elements(count));
}

}  // namespace

extern const Kernel swiglu_backward;
const Kernel swiglu_backward{"swiglu_backward", plan_swiglu_backward};

}  // namespace godwit::opencl
