// Chooses each token's experts by sigmoid(logits) + bias within the best groups, and weighs them.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

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

// (score descending, index ascending)
bool better(const float* score, std::int64_t a, std::int64_t b) {
  return score[a] > score[b] || (score[a] == score[b] && a < b);
}

// A row of choices against its own scores s, c and the scores of the groups: in order, within the groups that fewer than top_groups are
// better than, and none that was left out better than the worst chosen; the weights by bits.
void check_row(const Call& call, std::int64_t row, const float* s, const float* c, const float* group_scores) {
  const std::int64_t experts = call.in[0].width();
  const std::int64_t top_k = call.integer("top_k");
  const std::int64_t groups = call.integer("groups");
  const std::int64_t top_groups = call.integer("top_groups");
  const std::int64_t group_size = experts / groups;
  const std::int32_t* chosen = call.out[0].i32() + row * top_k;
  const float* weights = call.out[1].f32() + row * top_k;
  const auto open = [&](std::int64_t expert) {
    if (groups == 1) return true;
    std::int64_t before = 0;
    for (std::int64_t g = 0; g < groups; ++g) before += better(group_scores, g, expert / group_size);
    return before < top_groups;
  };
  const auto doubt = [&](int output) { call.inspection->doubt(output, row, std::numeric_limits<double>::infinity(), 0); };
  std::int64_t worst = -1;
  float total = 0.0f;
  for (std::int64_t k = 0; k < top_k; ++k) {
    const std::int64_t expert = chosen[k];
    if (expert < 0 || expert >= experts || (k > 0 && expert <= chosen[k - 1]) || !open(expert)) return doubt(0);
    if (worst < 0 || better(c, worst, expert)) worst = expert;
    total = total + s[expert];
  }
  std::int64_t k = 0;
  for (std::int64_t expert = 0; expert < experts; ++expert) {
    if (k < top_k && chosen[k] == expert) {
      ++k;
    } else if (worst >= 0 && better(c, expert, worst) && open(expert)) {
      return doubt(0);
    }
  }
  const bool normalize = call.integer("normalize") != 0;
  const float scaling = call.real32("scaling");
  for (k = 0; k < top_k; ++k) {
    const float expected = (normalize ? s[chosen[k]] / (total + 1e-20f) : s[chosen[k]]) * scaling;
    if (std::bit_cast<std::uint32_t>(weights[k]) != std::bit_cast<std::uint32_t>(expected) &&
        (expected == expected || weights[k] == weights[k]))
      return doubt(1);
  }
}

// Spoils one weight or one choice of a row.
void strike_row(const Call& call, std::int64_t row, const Strike& strike, Chance chance) {
  const std::int64_t top_k = call.integer("top_k");
  const auto at = static_cast<int>(chance.below(top_k));
  float* weights = call.out[1].f32() + row * top_k;
  std::int32_t* chosen = call.out[0].i32() + row * top_k;
  const bool choice = chance.below(2) == 1 && (strike.kind == GODWIT_SPOIL_BIT || strike.kind == GODWIT_SPOIL_BITS);
  if (choice) {
    const std::int32_t before = chosen[at];
    chosen[at] ^= static_cast<std::int32_t>(1u << (strike.bit >= 0 ? strike.bit : static_cast<int>(chance.below(32))));
    return strike.tell(row, at, before, chosen[at], 0);
  }
  const std::vector<float> before(weights, weights + top_k);
  const Tile tile{weights, top_k, 1, static_cast<int>(top_k)};
  if (!spoil_tile(tile, strike, 0, at, nullptr, nullptr, nullptr)) return;
  tell_strike(strike, tile, before, row, 0, [&](std::int64_t) {
    double squares = 0;
    for (const float weight : before) squares += static_cast<double>(weight) * static_cast<double>(weight);
    return std::sqrt(squares / static_cast<double>(top_k));
  });
}

void run(const Call& call) {
  const Strike* strike = call.inspection == nullptr ? nullptr : call.inspection->strike;
  const bool checks = call.inspection != nullptr && call.inspection->verify;
  Chance chance = strike == nullptr ? Chance() : strike->chance;
  const std::int64_t struck_row = strike == nullptr || call.in[0].rows() == 0 ? -1 : chance.below(call.in[0].rows());
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
      if (row == struck_row) [[unlikely]]
        strike_row(call, row, *strike, chance);
      if (checks) check_row(call, row, s, c, group_scores);
    }
  });
  if (!checks) return;
  call.inspection->count(0);
  call.inspection->count(1);
}

}  // namespace

extern const Kernel router;
const Kernel router{
    .op = "router",
    .variant = [](const Call&) { return "f32 rows"; },
    .workspace = workspace,
    .run = run,
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
