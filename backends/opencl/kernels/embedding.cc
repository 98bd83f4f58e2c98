#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void embedding(__global const float* table, __global const int* ids, __global float* y, long count, long width, long vocabulary) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long id = ids[at / width];
  y[at] = id >= 0 && id < vocabulary ? table[id * width + at % width] : 0.0f;
}
)CL";

void plan_embedding(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.out[0].count();
  plan.launch(text, "embedding", {Plan::in(0), Plan::in(1), Plan::out(0), count, call.in[0].width(), call.in[0].rows()},
              plan.elements(count));
}

}  // namespace

extern const Kernel embedding;
const Kernel embedding{"embedding", plan_embedding};

}  // namespace godwit::opencl
