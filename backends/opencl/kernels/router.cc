#include "kernel.h"

namespace godwit::opencl {
namespace {

constexpr const char* text = R"CL(
#define FREE 0
#define CHOSEN 1
#define SHUT 2

inline float without_nan(float x) {
  return x != x ? -INFINITY : x;
}
// Takes the free ones with the `count` largest scores, the first of equals first.
inline void choose(__global const float* score, __global int* state, int total, int count) {
  for (int k = 0; k < count; ++k) {
    int best = -1;
    for (int i = 0; i < total; ++i) {
      if (state[i] == FREE && (best < 0 || score[i] > score[best])) best = i;
    }
    state[best] = CHOSEN;
  }
}

kernel void router(__global const float* logits_all, __global const float* bias, __global int* experts_all, __global float* weights_all,
                   __global float* scores, __global int* states, long rows, int expert_count, int top_k, int groups, int top_groups,
                   int normalize, float scaling) {
  const long row = get_global_id(0);
  if (row >= rows) return;
  __global const float* logits = logits_all + row * expert_count;
  __global int* experts = experts_all + row * top_k;
  __global float* weights = weights_all + row * top_k;
  __global float* s = scores + row * (2 * expert_count + groups);
  __global float* c = s + expert_count;
  __global float* group_score = c + expert_count;
  __global int* state = states + row * (expert_count + groups);
  __global int* group_state = state + expert_count;
  for (int i = 0; i < expert_count; ++i) {
    s[i] = sigmoid_of(logits[i]);
    c[i] = without_nan(s[i] + bias[i]);
    state[i] = FREE;
  }
  if (groups > 1) {
    const int size = expert_count / groups;
    for (int g = 0; g < groups; ++g) {
      float first = -INFINITY, second = -INFINITY;
      for (int i = g * size; i < (g + 1) * size; ++i) {
        second = c[i] > first ? first : c[i] > second ? c[i] : second;
        first = c[i] > first ? c[i] : first;
      }
      group_score[g] = without_nan(size > 1 ? first + second : first);
      group_state[g] = FREE;
    }
    choose(group_score, group_state, groups, top_groups);
    for (int i = 0; i < expert_count; ++i) state[i] = group_state[i / size] == CHOSEN ? FREE : SHUT;
  }
  choose(c, state, expert_count, top_k);
  int k = 0;
  float total = 0.0f;
  for (int i = 0; i < expert_count; ++i) {
    if (state[i] != CHOSEN) continue;
    experts[k] = i;
    weights[k] = s[i];
    total = total + s[i];
    ++k;
  }
  for (k = 0; k < top_k; ++k) {
    const float weight = normalize ? weights[k] / (total + 1e-20f) : weights[k];
    weights[k] = weight * scaling;
  }
}
)CL";

void plan_router(const Call& call, Plan& plan) {
  plan.name("one item a row");
  const std::int64_t rows = call.in[0].rows(), experts = call.in[0].width(), groups = call.integer("groups");
  const auto small = [](std::int64_t x) { return static_cast<std::int32_t>(x); };
  const Argument scores = plan.scratch(rows * (2 * experts + groups) * 4), states = plan.scratch(rows * (experts + groups) * 4);
  plan.launch(text, "router",
              {Plan::in(0), Plan::in(1), Plan::out(0), Plan::out(1), scores, states, rows, small(experts), small(call.integer("top_k")),
               small(groups), small(call.integer("top_groups")), small(call.integer("normalize")), call.real32("scaling")},
              plan.elements(rows));
}

}  // namespace

extern const Kernel router;
const Kernel router{"router", plan_router};

}  // namespace godwit::opencl
