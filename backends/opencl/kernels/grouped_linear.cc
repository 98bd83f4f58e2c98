#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_grouped_linear(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::grouped,
                .a = {0, true},
                .b = {1, true},
                .rows = call.in[0].rows(),
                .columns = call.in[1].shape[1],
                .depth = call.in[1].shape[2],
                .groups = call.in[1].shape[0],
                .offsets = 2});
}

}  // namespace

extern const Kernel grouped_linear;
const Kernel grouped_linear{"grouped_linear", plan_grouped_linear};

}  // namespace godwit::opencl
