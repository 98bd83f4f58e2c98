#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void absorb_value(__global const IN0* x, __global const IN1* w, __global float* o, long count, int heads, int nope, int value,
                         int latent) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const int i = at % value;
  const long row_head = at / value;
  const int h = row_head % heads;
  float sum;
  DOT(sum, latent, c, operand0(x, row_head * latent + c), operand1(w, ((long)h * (nope + value) + nope + i) * latent + c))
  o[at] = sum;
}
)CL";

void plan_absorb_value(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  plan.launch(text, "absorb_value",
              {Plan::in(0), Plan::in(1), Plan::out(0), count, small(call.integer("heads")), small(call.integer("nope")),
               small(call.integer("value")), small(call.in[1].shape[1])},
              plan.elements(count));
}

}  // namespace

extern const Kernel absorb_value;
const Kernel absorb_value{"absorb_value", plan_absorb_value};

}  // namespace godwit::opencl
