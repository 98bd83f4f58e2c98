#include "rl/advantage.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/math.h"

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

WeighedTokens weigh_tokens(double advantage, const Policies& policies, const train::RlSettings& settings) {
  const auto count = policies.old.size();
  WeighedTokens weighed;
  const auto of = [](std::span<const float> logprobs, std::size_t t) { return static_cast<double>(logprobs[t]); };
  double mean = 0;
  for (std::size_t t = 0; t < count; ++t) mean += (of(policies.current, t) - of(policies.old, t)) / static_cast<double>(count);
  const bool clips = settings.clip_low > 0 || settings.clip_high > 0;
  double divisor = 1;
  if (settings.normalise == train::Normalise::constant) divisor = static_cast<double>(settings.max_tokens);
  if (settings.normalise == train::Normalise::sequence || settings.ratio == train::Ratio::sequence) divisor = static_cast<double>(count);
  for (std::size_t t = 0; t < count; ++t) {
    const double ratio = math::exp(of(policies.current, t) - of(policies.old, t));
    const double judged = settings.ratio == train::Ratio::sequence ? math::exp(mean) : ratio;
    double weight = advantage * judged;
    if (clips && ((advantage > 0 && judged > 1 + settings.clip_high) || (advantage < 0 && judged < 1 - settings.clip_low))) {
      weight = 0;
      ++weighed.clipped;
    }
    if (settings.kl > 0) {
      const double away = of(policies.reference, t) - of(policies.current, t);
      const double k3 = math::exp(away) - away - 1;
      const double slope = 1 - math::exp(away);
      weight -= settings.kl * (settings.kl_kind == train::KlKind::k3 ? slope : ratio * (k3 + slope));
      weighed.kl += k3;
    }
    weighed.weights.push_back(static_cast<float>(weight / divisor));
  }
  return weighed;
}

float mean_factor(std::int64_t tokens, std::int64_t completions, train::Normalise how) {
  const std::int64_t divisor = how == train::Normalise::tokens ? tokens : completions;
  CHECK(divisor > 0, "a step of {} tokens in {} completions", tokens, completions);
  return 1.0f / static_cast<float>(divisor);
}

}  // namespace godwit::rl
