#include <algorithm>

#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void square_segments(__global const float* x, __global float* sums, long count) {
  ROW_LOCALS;
  const long segment = ROW_INDEX;
  const long begin = segment * SEGMENT, end = min(count, begin + SEGMENT);
  float sum;
  ROW_SEGMENT(sum, begin, end, i, lane, lane = fma(x[i], x[i], lane))
  if (ROW_LEADER) sums[segment] = sum;
}

// An aligned subtree of 512 leaves each.
kernel void join_sums(__global const float* leaves, __global float* nodes, long count) {
  const long node = get_global_id(0);
  if (node * 512 >= count) return;
  tree_of_floats tree;
  tree_clear(&tree);
  for (long i = node * 512; i < min(count, node * 512 + 512); ++i) tree_push(&tree, leaves[i]);
  nodes[node] = tree_finish(&tree);
}
)CL";

void plan_sum_of_squares(const Call& call, Plan& plan) {
  plan.name("segments");
  const std::int64_t count = call.in[0].count();
  std::int64_t leaves = (count + 511) / 512;
  Argument from = plan.scratch(leaves * 4);
  plan.launch(text, "square_segments", {Plan::in(0), from, count}, plan.rows(leaves));
  while (true) {
    const std::int64_t nodes = (leaves + 511) / 512;
    const Argument to = nodes <= 1 ? Plan::out(0) : plan.scratch(nodes * 4);
    plan.launch(text, "join_sums", {from, to, leaves}, plan.elements(std::max<std::int64_t>(nodes, 1)));
    if (nodes <= 1) break;
    from = to;
    leaves = nodes;
  }
}

}  // namespace

extern const Kernel sum_of_squares;
const Kernel sum_of_squares{"sum_of_squares", plan_sum_of_squares};

}  // namespace godwit::opencl
