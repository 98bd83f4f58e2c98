#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_grouped_linear_backward_weight(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::samples,
                .a = {0, false},
                .b = {1, false},
                .rows = call.in[0].width(),
                .columns = call.in[1].width(),
                .depth = call.in[0].rows(),
                .groups = call.integer("experts"),
                .offsets = 2});
}

}  // namespace

extern const Kernel grouped_linear_backward_weight;
const Kernel grouped_linear_backward_weight{"grouped_linear_backward_weight", plan_grouped_linear_backward_weight};

}  // namespace godwit::opencl
