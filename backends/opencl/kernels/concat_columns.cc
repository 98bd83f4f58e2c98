#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void concat_columns(__global const IN0* left, __global const IN0* right, __global OUT0* x, long count, long left_width,
                           long right_width) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long width = left_width + right_width;
  const long row = at / width, c = at % width;
  x[at] = c < left_width ? left[row * left_width + c] : right[row * right_width + c - left_width];
}
)CL";

void plan_concat_columns(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "concat_columns", {Plan::in(0), Plan::in(1), Plan::out(0), count, call.in[0].width(), call.in[1].width()},
              plan.elements(count));
}

}  // namespace

extern const Kernel concat_columns;
const Kernel concat_columns{"concat_columns", plan_concat_columns};

}  // namespace godwit::opencl
