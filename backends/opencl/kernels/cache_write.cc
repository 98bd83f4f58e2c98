#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void cache_write(__global const IN0* rows, __global const int* slots, __global const int* positions, __global OUT0* cache, long count,
                        long width, long streams, long capacity) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long t = at / width;
  const long slot = slots[t], position = positions[t];
  if (slot < 0 || slot >= streams || position < 0 || position >= capacity) return;
  cache[(slot * capacity + position) * width + at % width] = rows[at];
}
)CL";

void plan_cache_write(const Call& call, Plan& plan) {
  plan.name("elements");
  const std::int64_t count = call.in[0].count();
  plan.launch(
      text, "cache_write",
      {Plan::in(0), Plan::in(1), Plan::in(2), Plan::out(0), count, call.in[0].width(), call.integer("streams"), call.integer("capacity")},
      plan.elements(count));
}

}  // namespace

extern const Kernel cache_write;
const Kernel cache_write{"cache_write", plan_cache_write};

}  // namespace godwit::opencl
