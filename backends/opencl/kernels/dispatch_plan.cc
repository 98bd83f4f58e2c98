#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
kernel void clear_slots(__global int* row_of_slot, __global int* slot_of_row, long count) {
  const long i = get_global_id(0);
  if (i >= count) return;
  row_of_slot[i] = -1;
  slot_of_row[i] = -1;
}

// Of each expert and sample, in this order.
kernel void count_rows(__global const int* chosen, __global const int* samples, __global int* offsets, long groups, int sample_count,
                       int top_k) {
  const long group = get_global_id(0);
  if (group >= groups) return;
  const int e = group / sample_count, s = group % sample_count;
  int count = 0;
  for (long slot = (long)samples[s] * top_k; slot < (long)samples[s + 1] * top_k; ++slot) count += chosen[slot] == e ? 1 : 0;
  offsets[group + 1] = count;
}

kernel void sum_rows(__global int* offsets, __global int* counts, int experts, int sample_count) {
  int row = 0;
  offsets[0] = 0;
  for (int e = 0; e < experts; ++e) {
    const int first_row = row;
    for (int s = 0; s < sample_count; ++s) {
      row += offsets[e * sample_count + s + 1];
      offsets[e * sample_count + s + 1] = row;
    }
    counts[e] = row - first_row;
  }
}

kernel void place_rows(__global const int* chosen, __global const int* samples, __global const int* offsets, __global int* row_of_slot,
                       __global int* slot_of_row, long groups, int sample_count, int top_k) {
  const long group = get_global_id(0);
  if (group >= groups) return;
  const int e = group / sample_count, s = group % sample_count;
  int row = offsets[group];
  for (long slot = (long)samples[s] * top_k; slot < (long)samples[s + 1] * top_k; ++slot) {
    if (chosen[slot] != e) continue;
    row_of_slot[slot] = row;
    slot_of_row[row] = (int)slot;
    ++row;
  }
}
)CL";

void plan_dispatch_plan(const Call& call, Plan& plan) {
  plan.name("groups");
  const std::int64_t slots = call.in[0].count();
  const auto experts = static_cast<std::int32_t>(call.integer("experts")), top_k = static_cast<std::int32_t>(call.in[0].width());
  const auto samples = static_cast<std::int32_t>(call.in[1].count() - 1);
  const std::int64_t groups = std::int64_t{experts} * samples;
  plan.launch(text, "clear_slots", {Plan::out(1), Plan::out(2), slots}, plan.elements(slots));
  plan.launch(text, "count_rows", {Plan::in(0), Plan::in(1), Plan::out(0), groups, samples, top_k}, plan.elements(groups));
  plan.launch(text, "sum_rows", {Plan::out(0), Plan::out(3), experts, samples}, Plan::items(1));
  plan.launch(text, "place_rows", {Plan::in(0), Plan::in(1), Plan::out(0), Plan::out(1), Plan::out(2), groups, samples, top_k},
              plan.elements(groups));
}

}  // namespace

extern const Kernel dispatch_plan;
const Kernel dispatch_plan{"dispatch_plan", plan_dispatch_plan};

}  // namespace godwit::opencl
