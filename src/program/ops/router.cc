// Chooses each token's experts and weighs them.      logits [N,E]   bias [E]   →   experts [N,K] i32   weights [N,K], K = `top_k`
//
// s = sigmoid(logits); the choice is by s + bias, within the best `top_groups` of `groups` groups of consecutive experts; the weights are s
// alone, normalised over the chosen or not, times `scaling`. Slots are in ascending order of expert (DeepSeek-V3, equations 12 to 16).
//
// Gradient: router_backward, through the weights alone; neither the choice nor the bias is differentiated.
#include <algorithm>
#include <limits>

#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

// The indices of the `count` largest scores, by (score descending, index ascending), in ascending order. No score is NaN.
template <typename Real>
std::vector<std::int64_t> largest(const std::vector<Real>& scores, std::int64_t count) {
  std::vector<std::int64_t> order(scores.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<std::int64_t>(i);
  auto score = [&](std::int64_t i) { return scores[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) { return score(a) > score(b); });
  order.resize(static_cast<std::size_t>(count));
  std::sort(order.begin(), order.end());
  return order;
}

template <typename Real>
Real without_nan(Real x) {
  return x != x ? -std::numeric_limits<Real>::infinity() : x;
}

template <typename Real>
void router_reference(const Memory& memory) {
  const Real* bias = real_in<Real>(memory, "bias");
  const std::int64_t expert_count = memory.in("logits").shape.width();
  const std::int64_t top_k = memory.integer("top_k");
  const std::int64_t group_count = memory.integer("groups");
  const std::int64_t group_size = expert_count / group_count;
  const auto scaling = static_cast<Real>(memory.real("scaling"));
  for (std::int64_t row = 0; row < memory.in("logits").shape.rows(); ++row) {
    const Real* logits = real_in<Real>(memory, "logits") + row * expert_count;
    std::int32_t* experts = memory.i32_out("experts") + row * top_k;
    Real* weights = real_out<Real>(memory, "weights") + row * top_k;

    std::vector<Real> s, c;
    for (std::int64_t i = 0; i < expert_count; ++i) {
      s.push_back(sigmoid_of<Real>(logits[i]));
      c.push_back(without_nan(s.back() + bias[i]));
    }
    std::vector<std::int64_t> candidates;  // ascending
    if (group_count > 1) {
      std::vector<Real> group_scores;
      for (std::int64_t g = 0; g < group_count; ++g) {
        std::vector<Real> members(c.begin() + g * group_size, c.begin() + (g + 1) * group_size);
        std::sort(members.begin(), members.end(), std::greater<>());
        group_scores.push_back(without_nan(group_size > 1 ? members[0] + members[1] : members[0]));
      }
      for (const std::int64_t g : largest(group_scores, memory.integer("top_groups"))) {
        for (std::int64_t i = g * group_size; i < (g + 1) * group_size; ++i) candidates.push_back(i);
      }
    } else {
      for (std::int64_t i = 0; i < expert_count; ++i) candidates.push_back(i);
    }
    std::vector<Real> candidate_scores;
    for (const std::int64_t i : candidates) candidate_scores.push_back(c[static_cast<std::size_t>(i)]);

    std::int64_t k = 0;
    Real total = 0;
    for (const std::int64_t chosen : largest(candidate_scores, top_k)) {
      const std::int64_t expert = candidates[static_cast<std::size_t>(chosen)];
      experts[k] = static_cast<std::int32_t>(expert);
      weights[k] = s[static_cast<std::size_t>(expert)];
      total = total + weights[k];
      ++k;
    }
    for (k = 0; k < top_k; ++k) {
      if (memory.integer("normalize") != 0) weights[k] = weights[k] / (total + static_cast<Real>(1e-20));
      weights[k] = weights[k] * scaling;
    }
  }
}

}  // namespace

extern const Op router;
const Op router{
    .name = "router",
    .inputs = {"logits", "bias"},
    .outputs = {"experts", "weights"},
    .attributes = {"top_k", "groups", "top_groups", "normalize", "scaling"},
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          const std::int64_t groups = s.integer("groups");
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,E], f32");
          s.require(s.in("bias") == f32_type({logits.width()}), "bias is [E], f32");
          s.require(groups > 0 && logits.width() % groups == 0, "groups divides E");
          s.require(groups == 1 || (s.integer("top_groups") > 0 && s.integer("top_groups") <= groups), "top_groups is at most groups");
          const std::int64_t candidates = groups == 1 ? logits.width() : logits.width() / groups * s.integer("top_groups");
          s.require(s.integer("top_k") > 0 && s.integer("top_k") <= candidates, "the kept groups have top_k experts");
          s.set("experts", Dtype::i32, {logits.rows(), s.integer("top_k")});
          s.set("weights", Dtype::f32, {logits.rows(), s.integer("top_k")});
        },
    .gradient =
        [](Gradient& g) {
          const Attributes attributes = {{"normalize", g.instance().integer("normalize")}, {"scaling", g.instance().real("scaling")}};
          g.set("logits", g.builder().emit1("router_backward", {g.in("logits"), g.out("experts"), g.of("weights")}, attributes));
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = static_cast<double>(i.in("logits").shape.count() * (20 + i.integer("top_k"))), .bytes = traffic(i)};
        },
    .reference = router_reference<float>,
    .reference64 = router_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("logits");
          f.reals("bias", 0.3f);  // often larger than s: negative choices too
          // Ties: in one row of four, logits repeat within the row.
          const std::span<float> logits = f.f32("logits");
          const auto width = static_cast<std::size_t>(f.in("logits").shape.width());
          const std::uint32_t equal_bias = f.random(2);
          for (std::size_t row = 3; row * width < logits.size(); row += 4) {
            for (std::size_t i = 1; i < width; ++i) {
              if (f.random(2) == 0) logits[row * width + i] = logits[row * width + f.random(static_cast<std::uint32_t>(i))];
            }
          }
          // The choice is by s + bias: without equal biases equal logits tie but seldom.
          if (equal_bias == 0) std::fill(f.f32("bias").begin(), f.f32("bias").end(), -0.25f);
        },
    .examples =
        [] {
          struct Case {
            std::int64_t rows, experts, top_k, groups, top_groups, normalize;
            double scaling;
          };
          std::vector<Example> examples;
          for (const Case c :
               {Case{1, 1, 1, 1, 1, 1, 1.0}, Case{3, 2, 1, 1, 1, 0, 2.5}, Case{13, 7, 3, 1, 1, 1, 2.5}, Case{9, 8, 2, 1, 1, 1, 1.0},
                Case{9, 8, 8, 1, 1, 1, 2.5}, Case{12, 8, 2, 2, 1, 1, 2.5}, Case{12, 12, 3, 4, 2, 1, 1.5}, Case{12, 4, 2, 4, 2, 0, 1.0},
                Case{12, 20, 4, 4, 2, 0, 2.5}, Case{8, 16, 4, 4, 4, 1, 2.5}, Case{40, 64, 6, 1, 1, 0, 1.0}, Case{16, 256, 8, 8, 4, 1, 2.5},
                Case{4, 515, 5, 1, 1, 1, 2.5}}) {
            examples.push_back({{f32_type({c.rows, c.experts}), f32_type({c.experts})},
                                {{"top_k", c.top_k},
                                 {"groups", c.groups},
                                 {"top_groups", c.top_groups},
                                 {"normalize", c.normalize},
                                 {"scaling", c.scaling}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
