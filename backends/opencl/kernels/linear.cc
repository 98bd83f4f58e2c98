#include "families/product.h"

namespace godwit::opencl {
namespace {

void plan_linear(const Call& call, Plan& plan) {
  plan_product(call, plan,
               {.kind = Product::Kind::dense,
                .a = {0, true},
                .b = {1, true},
                .rows = call.in[0].rows(),
                .columns = call.in[1].shape[0],
                .depth = call.in[1].shape[1]});
}

}  // namespace

extern const Kernel linear;
const Kernel linear{"linear", plan_linear};

}  // namespace godwit::opencl
