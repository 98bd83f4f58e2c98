#include "infer/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>
#include <vector>

namespace godwit::infer {
namespace {

using Logits = std::vector<float>;
constexpr double below_one = 1.0 - 0x1p-53;

// The ids that some u chooses, with the share of 10,000 evenly spread u that chose them.
std::map<std::int32_t, double> shares(const Logits& logits, const Sampling& sampling) {
  std::map<std::int32_t, double> counts;
  for (int i = 0; i < 10000; ++i) counts[choose(logits, sampling, i / 10000.0)] += 1e-4;
  counts[choose(logits, sampling, below_one)] += 0;
  return counts;
}

std::vector<std::int32_t> kept(const Logits& logits, const Sampling& sampling) {
  std::vector<std::int32_t> ids;
  for (const auto& entry : shares(logits, sampling)) ids.push_back(entry.first);
  return ids;
}

TEST(Sampler, GreedyTakesTheLowestIdOfEquals) {
  EXPECT_EQ(choose(Logits{1, 3, 2, 3}, {}, 0.99), 1);
  EXPECT_EQ(choose(Logits{-5}, {}, 0), 0);
  EXPECT_EQ(choose(Logits{-INFINITY, -7}, {}, 0), 1);
}

TEST(Sampler, SharesAreTheSoftmaxAtTheTemperature) {
  const Logits logits = {0.5f, 2.0f, -1.0f, 1.0f, 0.0f};
  for (const double temperature : {0.5, 1.0, 2.0}) {
    double total = 0;
    for (const float z : logits) total += std::exp(static_cast<double>(z) / temperature);
    const auto found = shares(logits, {.temperature = temperature});
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double expected = std::exp(static_cast<double>(logits[i]) / temperature) / total;
      EXPECT_NEAR(found.at(static_cast<std::int32_t>(i)), expected, 2e-4);
    }
  }
}

TEST(Sampler, CutsKeepWhatTheyPromise) {
  const Logits quarters = {0, 0, 0, 0};  // p = 1 each
  EXPECT_EQ(kept(quarters, {.temperature = 1, .top_k = 2}), (std::vector<std::int32_t>{0, 1}));
  EXPECT_EQ(kept(quarters, {.temperature = 1, .top_p = 0.5}), (std::vector<std::int32_t>{0, 1}));  // the sum reaches 2 of 4 at the second
  EXPECT_EQ(kept(quarters, {.temperature = 1, .top_p = 0.51}), (std::vector<std::int32_t>{0, 1, 2}));
  EXPECT_EQ(kept(quarters, {.temperature = 1, .top_p = 1e-9}), (std::vector<std::int32_t>{0}));
  const Logits falling = {-3, -1, 0, -2};
  EXPECT_EQ(kept(falling, {.temperature = 1, .top_k = 1}), (std::vector<std::int32_t>{2}));
  EXPECT_EQ(kept(falling, {.temperature = 1, .top_k = 3}), (std::vector<std::int32_t>{1, 2, 3}));
  EXPECT_EQ(kept(falling, {.temperature = 1, .top_k = 9}), (std::vector<std::int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(falling, {.temperature = 1, .min_p = 0.3}), (std::vector<std::int32_t>{1, 2}));  // e^-1 = 0.37, e^-2 = 0.14
  EXPECT_EQ(kept(falling, {.temperature = 1, .min_p = 1}), (std::vector<std::int32_t>{2}));
  EXPECT_EQ(kept(falling, {.temperature = 2, .min_p = 0.3}), (std::vector<std::int32_t>{1, 2, 3}));  // after the temperature
  // top_p counts what top_k left: of 1 and 0.37, 0.7 is reached by the first alone; of all four (1.55) it takes two.
  EXPECT_EQ(kept(falling, {.temperature = 1, .top_k = 2, .top_p = 0.7}), (std::vector<std::int32_t>{2}));
  EXPECT_EQ(kept(falling, {.temperature = 1, .top_p = 0.7}), (std::vector<std::int32_t>{1, 2}));
}

TEST(Sampler, TheChosenIdIsTheFirstWhoseSumIsAboveUTimesTotal) {
  const Logits quarters = {0, 0, 0, 0};
  const Sampling plain{.temperature = 1};
  EXPECT_EQ(choose(quarters, plain, 0.0), 0);
  EXPECT_EQ(choose(quarters, plain, std::nextafter(0.25, 0)), 0);
  EXPECT_EQ(choose(quarters, plain, 0.25), 1);
  EXPECT_EQ(choose(quarters, plain, below_one), 3);
  // What cannot be is never chosen, neither first nor last.
  const Logits walls = {-INFINITY, 0, -INFINITY, 0, -INFINITY};
  EXPECT_EQ(kept(walls, plain), (std::vector<std::int32_t>{1, 3}));
}

TEST(Sampler, TheColdestTemperatureIsGreedyAndTheLargestLogitsDoNotOverflow) {
  EXPECT_EQ(kept({1, 1.0000001f, -3e38f}, {.temperature = 0x1p-126}), (std::vector<std::int32_t>{1}));
  EXPECT_EQ(kept({3e38f, -3e38f}, {.temperature = 1}), (std::vector<std::int32_t>{0}));
}

TEST(Sampler, DrawsAreKeyedBySeedSampleAndPositionAlone) {
  EXPECT_EQ(draw(1, 0, 5), draw(1, 0, 5));
  EXPECT_NE(draw(1, 0, 5), draw(2, 0, 5));
  EXPECT_NE(draw(1, 0, 5), draw(1, 1, 5));
  EXPECT_NE(draw(1, 0, 5), draw(1, 0, 6));
  // Fixed for good: answers given once must come again.
  EXPECT_EQ(draw(0, 0, 0), 0x1.3ef769e3735dp-1);
  EXPECT_EQ(draw(7, 3, 11), 0x1.9b3e6ef832963p-1);
}

TEST(Sampler, OptionsOutOfRangeAreRefusedWithTheirValue) {
  EXPECT_TRUE(check(Sampling{}).ok());
  const auto refused = [](const Sampling& sampling, const char* value) {
    const auto result = check(sampling);
    return !result.ok() && result.error().kind == ErrorKind::input && result.error().message.find(value) != std::string::npos;
  };
  EXPECT_TRUE(refused({.temperature = -1}, "-1"));
  EXPECT_TRUE(refused({.temperature = 1e-50}, "1e-50"));
  EXPECT_TRUE(refused({.temperature = std::numeric_limits<double>::quiet_NaN()}, "nan"));
  EXPECT_TRUE(refused({.temperature = INFINITY}, "inf"));
  EXPECT_TRUE(refused({.top_k = -3}, "-3"));
  EXPECT_TRUE(refused({.top_p = 0}, "top_p is 0"));
  EXPECT_TRUE(refused({.top_p = 1.5}, "1.5"));
  EXPECT_TRUE(refused({.min_p = -0.5}, "-0.5"));
  EXPECT_TRUE(refused({.min_p = 2}, "2"));
}

}  // namespace
}  // namespace godwit::infer
