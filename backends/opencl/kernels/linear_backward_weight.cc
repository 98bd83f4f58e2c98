#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_linear_backward_weight(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::samples,
                .a = {0, false},
                .b = {1, false},
                .rows = call.in[0].width(),
                .columns = call.in[1].width(),
                .depth = call.in[0].rows(),
                .offsets = 2});
}

}  // namespace

extern const Kernel linear_backward_weight;
const Kernel linear_backward_weight{"linear_backward_weight", plan_linear_backward_weight};

}  // namespace godwit::opencl
