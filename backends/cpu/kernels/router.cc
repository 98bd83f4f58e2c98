// Chooses each token's experts by sigmoid(logits) + bias within the best groups, and weighs them.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// The `count` largest of score(0 … n−1) among those open, by (score descending, index ascending): marks them taken.
template <typename Score>
void take_largest(std::int64_t n, std::int64_t count, const Score& score, std::uint8_t* open, std::uint8_t* taken) {
  for (std::int64_t k = 0; k < count; ++k) {
    std::int64_t best = -1;
    for (std::int64_t i = 0; i < n; ++i) {
      if (open[i] != 0 && (best < 0 || score(i) > score(best))) best = i;
    }
    open[best] = 0;
    taken[best] = 1;
  }
}

float without_nan(float x) {
  return x != x ? -std::numeric_limits<float>::infinity() : x;
}

// Per thread: s, c [E]; group scores [groups]; flags.
std::int64_t scratch_floats(const Call& call) {
  return 2 * (call.in[0].width() + lanes) + call.integer("groups");
}
std::int64_t scratch_flags(const Call& call) {
  return 2 * (call.in[0].width() + call.integer("groups"));
}
std::int64_t thread_bytes(const Call& call) {
  return (scratch_floats(call) * 4 + scratch_flags(call) + 63) / 64 * 64;
}
std::int64_t workspace(const Call& call) {
  return thread_bytes(call) * call.pool->threads();
}

void run(const Call& call) {
  const std::int64_t experts = call.in[0].width();
  const float* bias = call.in[1].f32();
  const std::int64_t top_k = call.integer("top_k");
  const std::int64_t groups = call.integer("groups");
  const std::int64_t top_groups = call.integer("top_groups");
  const std::int64_t group_size = experts / groups;
  const bool normalize = call.integer("normalize") != 0;
  const float scaling = call.real32("scaling");
  const std::int64_t bytes = thread_bytes(call);
  call.pool->ranges(call.in[0].rows(), 32, [&](std::int64_t begin, std::int64_t end, int thread) {
    auto* s = reinterpret_cast<float*>(call.workspace + thread * bytes);
    float* c = s + experts + lanes;
    float* group_scores = c + experts + lanes;
    auto* open = reinterpret_cast<std::uint8_t*>(group_scores + groups);
    std::uint8_t* taken = open + experts;
    std::uint8_t* open_groups = taken + experts;
    std::uint8_t* taken_groups = open_groups + groups;
    for (std::int64_t row = begin; row < end; ++row) {
      const float* z = call.in[0].f32() + row * experts;
      vectors(experts, [&](std::int64_t i, int n) {
        const F32 value = sigmoid(load_n(z + i, n));
        store_n(s + i, value, n);
        store_n(c + i, value + load_n(bias + i, n), n);
      });
      for (std::int64_t i = 0; i < experts; ++i) c[i] = without_nan(c[i]);
      std::fill_n(taken, experts, std::uint8_t{0});
      if (groups == 1) {
        std::fill_n(open, experts, std::uint8_t{1});
      } else {
        for (std::int64_t g = 0; g < groups; ++g) {
          const float* member = c + g * group_size;
          float first = member[0], second = -std::numeric_limits<float>::infinity();
          for (std::int64_t i = 1; i < group_size; ++i) {
            if (member[i] > first) {
              second = first;
              first = member[i];
            } else if (member[i] > second) {
              second = member[i];
            }
          }
          group_scores[g] = without_nan(group_size > 1 ? first + second : first);
        }
        std::fill_n(open_groups, groups, std::uint8_t{1});
        std::fill_n(taken_groups, groups, std::uint8_t{0});
        take_largest(
            groups, top_groups, [&](std::int64_t g) { return group_scores[g]; }, open_groups, taken_groups);
        for (std::int64_t i = 0; i < experts; ++i) open[i] = taken_groups[i / group_size];
      }
      take_largest(
          experts, top_k, [&](std::int64_t i) { return c[i]; }, open, taken);

      std::int32_t* chosen = call.out[0].i32() + row * top_k;
      float* weights = call.out[1].f32() + row * top_k;
      float total = 0.0f;
      std::int64_t k = 0;
      for (std::int64_t i = 0; i < experts; ++i) {
        if (taken[i] == 0) continue;
        chosen[k] = static_cast<std::int32_t>(i);
        weights[k] = s[i];
        total = total + s[i];
        ++k;
      }
      for (k = 0; k < top_k; ++k) {
        if (normalize) weights[k] = weights[k] / (total + 1e-20f);
        weights[k] = weights[k] * scaling;
      }
    }
  });
}

}  // namespace

extern const Kernel router;
const Kernel router{
    .op = "router",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = workspace,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
