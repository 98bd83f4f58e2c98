// From rewards to what each token of a completion weighs in the loss. Pure functions; the formulas are those of docs/reinforcement.md.
//
// On policy the ratio of probabilities is one, and the gradient of every clipped or unclipped objective is that of −Σ_t A_i · log p_t, summed
// over the completions and divided by what Normalise says.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "train/rl_settings.h"

namespace godwit::rl {

// Of one group. mean: A_i = r_i − mean(r). standard: also divided by (s + 1e-4), s the standard deviation with n − 1.
[[nodiscard]] std::vector<double> advantages(std::span<const double> rewards, train::Advantage how);

// What each of `tokens` tokens of a completion weighs before the step's mean is taken.
[[nodiscard]] float token_weight(double advantage, std::int64_t tokens, std::int64_t tokens_max, train::Normalise how);

// What the step's sum is multiplied by.
[[nodiscard]] float mean_factor(std::int64_t tokens, std::int64_t completions, train::Normalise how);

}  // namespace godwit::rl
