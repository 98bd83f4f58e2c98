#include "families/balance.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void sum_sigmoids(__global const float* logits, __global float* q, long width) {
  ROW_LOCALS;
  const long t = ROW_INDEX;
  __global const float* z = logits + t * width;
  float sum;
  ROW(sum, width, i, lane, lane = lane + sigmoid_of(z[i]))
  if (ROW_LEADER) q[t] = sum;
}

// f and P of each sample and expert.
kernel void shares(__global const float* logits, __global const int* samples, __global const int* counts, __global const float* q,
                   __global float* f, __global float* p, long count, long width, long top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const long e = at % width;
  const long first = samples[at / width], rows = samples[at / width + 1] - first;
  float sum;
  CHAINS(sum, rows, i, chain, chain = chain + sigmoid_of(logits[(first + i) * width + e]) / q[first + i])
  f[at] = share_of(width, counts[at], top_k, rows);
  p[at] = sum / (float)rows;
}

kernel void sample_losses(__global const int* samples, __global const float* f_all, __global const float* p_all, __global float* losses,
                          long width) {
  ROW_LOCALS;
  const long s = ROW_INDEX;
  __global const float* f = f_all + s * width;
  __global const float* p = p_all + s * width;
  float sum = 0.0f;
  if (samples[s + 1] > samples[s]) ROW(sum, width, i, lane, lane = fma(f[i], p[i], lane))
  if (ROW_LEADER) losses[s] = sum;
}

kernel void balance_loss(__global const float* losses, __global const float* weight, __global float* loss, int sample_count) {
  tree_of_floats tree;
  tree_clear(&tree);
  for (int s = 0; s < sample_count; ++s) tree_push(&tree, losses[s]);
  loss[0] = tree_finish(&tree) * weight[0];
}
)CL";

void plan_balance_loss(const Call& call, Plan& plan) {
  plan.name("rows");
  const std::int64_t rows = call.in[0].rows(), experts = call.in[0].width(), samples = call.in[2].count() - 1;
  const std::string all = std::string(balance_text) + text;
  const Argument counts = plan_counts(call, plan);
  const Argument q = plan.scratch(rows * 4), losses = plan.scratch(samples * 4);
  const Argument f = plan.scratch(samples * experts * 4), p = plan.scratch(samples * experts * 4);
  plan.launch(all, "sum_sigmoids", {Plan::in(0), q, experts}, plan.rows(rows));
  plan.launch(all, "shares", {Plan::in(0), Plan::in(2), counts, q, f, p, samples * experts, experts, call.in[1].width()},
              plan.elements(samples * experts));
  plan.launch(all, "sample_losses", {Plan::in(2), f, p, losses, experts}, plan.rows(samples));
  plan.launch(all, "balance_loss", {losses, Plan::in(3), Plan::out(0), static_cast<std::int32_t>(samples)}, Plan::items(1));
}

}  // namespace

extern const Kernel balance_loss;
const Kernel balance_loss{"balance_loss", plan_balance_loss};

}  // namespace godwit::opencl
