#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void swiglu(__global const float* gate, __global const float* up, __global OUT0* y, long count) {
  const long i = get_global_id(0);
  if (i < count) put0(y, i, (gate[i] * sigmoid_of(gate[i])) * up[i]);
}
)CL";

void plan_swiglu(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  plan.launch(text, "swiglu", {Plan::in(0), Plan::in(1), Plan::out(0), count}, plan.elements(count));
}

}  // namespace

extern const Kernel swiglu;
const Kernel swiglu{"swiglu", plan_swiglu};

}  // namespace godwit::opencl
