#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void dispatch(__global const IN0* x, __global const int* slot_of_row, __global OUT0* y, long count, long width, long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long slot = slot_of_row[at / width];
  y[at] = slot < 0 ? 0 : x[slot / top_k * width + at % width];
}
)CL";

void plan_dispatch(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "dispatch", {Plan::in(0), Plan::in(1), Plan::out(0), count, call.in[0].width(), call.integer("top_k")},
              plan.elements(count));
}

}  // namespace

extern const Kernel dispatch;
const Kernel dispatch{"dispatch", plan_dispatch};

}  // namespace godwit::opencl
