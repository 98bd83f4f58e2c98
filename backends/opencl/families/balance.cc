#include "families/balance.h"

namespace godwit::opencl {

const char* const balance_text = R"CL(
kernel void count_choices(__global const int* experts, __global const int* samples, __global int* counts, long count, int expert_count,
                          int top_k) {
  const long at = get_global_id(0);
  if (at >= count) return;
  const int s = at / expert_count, e = at % expert_count;
  int chosen = 0;
  for (long k = (long)samples[s] * top_k; k < (long)samples[s + 1] * top_k; ++k) chosen += experts[k] == e ? 1 : 0;
  counts[at] = chosen;
}

// f of docs/arithmetic.md: the share of an expert, relative to an even load.
inline float share_of(long expert_count, int chosen, long top_k, long rows) {
  return (float)(expert_count * chosen) / (float)(top_k * rows);
}
)CL";

Argument plan_counts(const Call& call, Plan& plan) {
  const std::int64_t experts = call.in[0].width();
  const std::int64_t count = experts * (call.in[2].count() - 1);
  const Argument counts = plan.scratch(count * 4);
  plan.launch(balance_text, "count_choices",
              {Plan::in(1), Plan::in(2), counts, count, static_cast<std::int32_t>(experts), static_cast<std::int32_t>(call.in[1].width())},
              plan.elements(count));
  return counts;
}

}  // namespace godwit::opencl
