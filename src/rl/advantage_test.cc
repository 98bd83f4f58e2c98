// What could go wrong: a group that agrees moves the weights all the same; n for n − 1; a completion counts by its length where it should
// not.
#include "rl/advantage.h"

#include <gtest/gtest.h>

#include <cmath>

namespace godwit::rl {
namespace {

using train::Advantage;
using train::Normalise;

TEST(Advantages, MeanIsTakenFromEachReward) {
  const std::vector<double> found = advantages(std::vector<double>{1, 0, 0.5, 0.5}, Advantage::mean);
  EXPECT_EQ(found, (std::vector<double>{0.5, -0.5, 0, 0}));
  EXPECT_EQ(advantages(std::vector<double>{1, 0}, Advantage::mean), (std::vector<double>{0.5, -0.5}));
}

TEST(Advantages, StandardDividesByTheDeviationOfTheSample) {
  // Mean 0.4, squares 3 · 0.16 + 2 · 0.36 = 1.2, over n − 1 = 4: variance 0.3.
  const std::vector<double> found = advantages(std::vector<double>{1, 0, 0, 1, 0}, Advantage::standard);
  const double deviation = std::sqrt(0.3) + 1e-4;
  EXPECT_NEAR(found[0], 0.6 / deviation, 1e-12);
  EXPECT_NEAR(found[1], -0.4 / deviation, 1e-12);
  EXPECT_EQ(found[3], found[0]);
  // Of two, the deviation is |a − b| / √2.
  const std::vector<double> two = advantages(std::vector<double>{1, 0}, Advantage::standard);
  EXPECT_NEAR(two[0], 0.5 / (std::sqrt(0.5) + 1e-4), 1e-12);
  EXPECT_EQ(two[1], -two[0]);
}

TEST(Advantages, AgreementIsExactlyZero) {
  // Thrice 0.1 is not 0.3: the mean of equal rewards is rounded.
  for (const double reward : {0.0, 1.0, 0.1, -0.7, 1e300}) {
    for (const std::size_t count : {2, 3, 7, 64}) {
      for (const Advantage how : {Advantage::mean, Advantage::standard}) {
        EXPECT_EQ(advantages(std::vector<double>(count, reward), how), std::vector<double>(count, 0.0)) << reward << " × " << count;
      }
    }
  }
}

train::RlSettings by(Normalise normalise, std::int64_t max_tokens = 20) {
  train::RlSettings settings;
  settings.normalise = normalise;
  settings.max_tokens = max_tokens;
  return settings;
}
// Of a completion of so many tokens that the model itself has written.
std::vector<float> on_policy(double advantage, std::size_t tokens, const train::RlSettings& settings) {
  const std::vector<float> logprobs(tokens, -0.7f);
  return weigh_tokens(advantage, {logprobs, logprobs, logprobs}, settings).weights;
}

TEST(Weights, AreWhatTheThreeFormulasSay) {
  // Advantage 0.75, 5 tokens of at most 20, in a step of 40 tokens in 8 completions.
  EXPECT_EQ(on_policy(0.75, 5, by(Normalise::tokens)), std::vector<float>(5, 0.75f));
  EXPECT_EQ(on_policy(0.75, 5, by(Normalise::sequence)), std::vector<float>(5, 0.15f));
  EXPECT_EQ(on_policy(0.75, 5, by(Normalise::constant)), std::vector<float>(5, 0.0375f));
  EXPECT_EQ(mean_factor(40, 8, Normalise::tokens), 1.0f / 40);
  EXPECT_EQ(mean_factor(40, 8, Normalise::sequence), 1.0f / 8);
  EXPECT_EQ(mean_factor(40, 8, Normalise::constant), 1.0f / 8);
}

TEST(Weights, OnPolicyClippingAndReferencesThatAgreeChangeNothing) {
  train::RlSettings settings = by(Normalise::tokens);
  const std::vector<float> plain = on_policy(-0.25, 7, settings);
  settings.clip_low = 0.2;
  settings.clip_high = 0.28;
  settings.kl = 0.5;
  for (const train::KlKind kind : {train::KlKind::k3, train::KlKind::unbiased}) {
    settings.kl_kind = kind;
    EXPECT_EQ(on_policy(-0.25, 7, settings), plain);
  }
}

// A clipped token must teach nothing where the objective is flat, and everything on the other side.
TEST(Weights, ClipOnlyWhereTheObjectiveIsFlat) {
  train::RlSettings settings = by(Normalise::tokens);
  settings.clip_low = 0.2;
  settings.clip_high = 0.3;
  const std::vector<float> old(4, -1.0f), current = {-1.0f, -0.5f, -1.5f, -0.8f};  // ratios 1, 1.65, 0.61, 1.22
  const WeighedTokens up = weigh_tokens(1, {old, current, {}}, settings);
  EXPECT_EQ(up.clipped, 1);
  EXPECT_EQ(up.weights[1], 0);
  EXPECT_GT(up.weights[2], 0) << "a ratio below the range still rises with a good answer";
  const WeighedTokens down = weigh_tokens(-1, {old, current, {}}, settings);
  EXPECT_EQ(down.clipped, 1);
  EXPECT_EQ(down.weights[2], 0);
  EXPECT_LT(down.weights[1], 0);
  settings.ratio = train::Ratio::sequence;  // their geometric mean is 1.05
  EXPECT_EQ(weigh_tokens(1, {old, current, {}}, settings).clipped, 0);
}

TEST(Weights, OnlySequenceGivesEveryCompletionTheSameSay) {
  const auto say = [](std::size_t tokens, Normalise how) { return static_cast<float>(tokens) * on_policy(1, tokens, by(how, 16))[0]; };
  EXPECT_EQ(say(4, Normalise::sequence), say(16, Normalise::sequence));
  EXPECT_EQ(4 * say(4, Normalise::tokens), say(16, Normalise::tokens));
  EXPECT_EQ(4 * say(4, Normalise::constant), say(16, Normalise::constant));
}

}  // namespace
}  // namespace godwit::rl
