// From rewards to what each token of a completion weighs in the loss. Pure functions; the formulas are those of docs/reinforcement.md.
//
// Whatever the objective, its gradient is Σ_t c_t · ∇(−log p_t) for some c_t that depend on log-probabilities alone: so the training program
// needs no op of its own for any of them, only these weights.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "train/rl_settings.h"

namespace godwit::rl {

// Of one group. mean: A_i = r_i − mean(r). standard: also divided by (s + 1e-4), s the standard deviation with n − 1.
[[nodiscard]] std::vector<double> advantages(std::span<const double> rewards, train::Advantage how);

// One completion's log-probabilities: by the model that wrote it, as it is, and by the reference (empty where kl = 0).
struct Policies {
  std::span<const float> old, current, reference;
};

// What came of weighing one completion.
struct WeighedTokens {
  std::vector<float> weights;  // by token, before the step's mean is taken
  std::int64_t clipped = 0;    // tokens whose ratio teaches nothing more
  double kl = 0;               // summed over the tokens
};
// With ρ_t = exp(current_t − old_t), or, by sequences, s = exp(mean_t(current_t − old_t)):
//
//     token      c_t = A · ρ_t            unless A > 0 and ρ_t > 1 + high, or A < 0 and ρ_t < 1 − low: then 0   (arXiv 1707.06347, 2503.14476)
//     sequence   c_t = A · s              likewise by s                                                         (arXiv 2507.18071)
//     kl         d_t = reference_t − current_t;  k3 = exp(d_t) − d_t − 1;  c_t −= β · (1 − exp(d_t))            (arXiv 2402.03300)
//     unbiased   c_t −= β · ρ_t · (k3 + 1 − exp(d_t)), the gradient of ρ_t · k3                                 (DeepSeek-V3.2)
//
// and each c_t is divided by what Normalise says of a completion. s · ∇ mean_t log p_t needs the mean over the completion whatever
// normalises: with `tokens` a ratio by sequences is normalised as `sequence` does.
[[nodiscard]] WeighedTokens weigh_tokens(double advantage, const Policies& policies, const train::RlSettings& settings);

// What the step's sum is multiplied by.
[[nodiscard]] float mean_factor(std::int64_t tokens, std::int64_t completions, train::Normalise how);

}  // namespace godwit::rl
