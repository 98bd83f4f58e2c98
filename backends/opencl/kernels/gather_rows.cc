#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void gather_rows(__global const IN0* x, __global const int* rows, __global OUT0* y, long count, long width, long row_count) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long row = rows[at / width];
  y[at] = row >= 0 && row < row_count ? x[row * width + at % width] : 0;
}
)CL";

void plan_gather_rows(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "gather_rows", {Plan::in(0), Plan::in(1), Plan::out(0), count, call.in[0].width(), call.in[0].rows()},
              plan.elements(count));
}

}  // namespace

extern const Kernel gather_rows;
const Kernel gather_rows{"gather_rows", plan_gather_rows};

}  // namespace godwit::opencl
