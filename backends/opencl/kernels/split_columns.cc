#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void split_columns(__global const IN0* x, __global OUT0* left, __global OUT0* right, long count, long width, long left_width) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long row = at / width, c = at % width;
  if (c < left_width) {
    left[row * left_width + c] = x[at];
  } else {
    right[row * (width - left_width) + c - left_width] = x[at];
  }
}
)CL";

void plan_split_columns(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  plan.launch(text, "split_columns", {Plan::in(0), Plan::out(0), Plan::out(1), count, call.in[0].width(), call.integer("left")},
              plan.elements(count));
}

}  // namespace

extern const Kernel split_columns;
const Kernel split_columns{"split_columns", plan_split_columns};

}  // namespace godwit::opencl
