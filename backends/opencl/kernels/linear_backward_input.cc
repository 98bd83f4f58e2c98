#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_linear_backward_input(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::dense,
                .a = {0, true},
                .b = {1, false},
                .rows = call.in[0].rows(),
                .columns = call.in[1].shape[1],
                .depth = call.in[1].shape[0]});
}

}  // namespace

extern const Kernel linear_backward_input;
const Kernel linear_backward_input{"linear_backward_input", plan_linear_backward_input};

}  // namespace godwit::opencl
