#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void add(__global const ELEMENT* a, __global const ELEMENT* b, __global ELEMENT* y, long count) {
  const long i = get_global_id(0);
  if (i < count) y[i] = a[i] + b[i];
}
)CL";

void plan_add(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  const bool integers = call.in[0].dtype == GODWIT_I32;  // which wrap: unsigned, where that is no error
  plan.launch(text, "add", {Plan::in(0), Plan::in(1), Plan::out(0), count}, plan.elements(count),
              integers ? "-DELEMENT=uint" : "-DELEMENT=float");
}

}  // namespace

extern const Kernel add;
const Kernel add{"add", plan_add};

}  // namespace godwit::opencl
