#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void cast(__global const IN0* x, __global OUT0* y, long count) {
  const long i = get_global_id(0);
  if (i >= count) return;
#if defined(IN0_BF16) && defined(OUT0_BF16)
  y[i] = x[i];
#else
  put0(y, i, get0(x, i));
#endif
}
)CL";

void plan_cast(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  plan.launch(text, "cast", {Plan::in(0), Plan::out(0), count}, plan.elements(count));
}

}  // namespace

extern const Kernel cast;
const Kernel cast{"cast", plan_cast};

}  // namespace godwit::opencl
