#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_grouped_linear_backward_input(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::grouped,
                .a = {0, true},
                .b = {1, false},
                .rows = call.in[0].rows(),
                .columns = call.in[1].shape[2],
                .depth = call.in[1].shape[1],
                .groups = call.in[1].shape[0],
                .offsets = 2});
}

}  // namespace

extern const Kernel grouped_linear_backward_input;
const Kernel grouped_linear_backward_input{"grouped_linear_backward_input", plan_grouped_linear_backward_input};

}  // namespace godwit::opencl
