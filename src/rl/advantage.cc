#include "rl/advantage.h"

#include <cmath>

#include "base/check.h"

namespace godwit::rl {

std::vector<double> advantages(std::span<const double> rewards, train::Advantage how) {
  CHECK(!rewards.empty(), "a group of no completions");
  const double count = static_cast<double>(rewards.size());
  double sum = 0;
  for (const double reward : rewards) sum += reward;
  const double mean = sum / count;
  std::vector<double> advantages;
  double squares = 0;
  for (const double reward : rewards) {
    const double away = reward - mean;
    squares += away * away;
    advantages.push_back(away);
  }
  // A mean of equal rewards may be rounded: they are no reason to learn anything.
  bool equal = true;
  for (const double reward : rewards) equal = equal && reward == rewards[0];
  if (equal) return std::vector<double>(rewards.size(), 0.0);
  if (how == train::Advantage::standard) {
    const double deviation = std::sqrt(squares / std::max(count - 1, 1.0));
    for (double& advantage : advantages) advantage /= deviation + 1e-4;
  }
  return advantages;
}

float token_weight(double advantage, std::int64_t tokens, std::int64_t tokens_max, train::Normalise how) {
  switch (how) {
    case train::Normalise::tokens:
      return static_cast<float>(advantage);
    case train::Normalise::sequence:
      return static_cast<float>(advantage / static_cast<double>(tokens));
    case train::Normalise::constant:
      return static_cast<float>(advantage / static_cast<double>(tokens_max));
  }
  return 0;
}

float mean_factor(std::int64_t tokens, std::int64_t completions, train::Normalise how) {
  const std::int64_t divisor = how == train::Normalise::tokens ? tokens : completions;
  CHECK(divisor > 0, "a step of {} tokens in {} completions", tokens, completions);
  return 1.0f / static_cast<float>(divisor);
}

}  // namespace godwit::rl
