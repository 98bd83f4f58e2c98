// What could go wrong: an answer is rewarded that was never given in form; length is punished too early, too late, or without a bottom.
#include "rl/reward.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::rl {
namespace {

using testing::HasSubstr;

double value(std::string_view name, const Completion& completion, double score = 0) {
  return find_reward(name, "test").value()->value(completion, score);
}

const Completion good{.answer = "7", .think_ends = 1, .thinking = 3, .tokens = 6, .tokens_max = 20, .finished = true};

Completion changed(void (*change)(Completion&)) {
  Completion completion = good;
  change(completion);
  return completion;
}

const Completion unended = changed([](Completion& c) { c.think_ends = 0; });
const Completion twice = changed([](Completion& c) { c.think_ends = 2; });
const Completion empty = changed([](Completion& c) { c.answer.clear(); });
const Completion cut = changed([](Completion& c) { c.finished = false; });

TEST(Rewards, AnswerIsTheVerifiersScoreOfWhatHasTheForm) {
  EXPECT_EQ(value("answer", good, 1), 1);
  EXPECT_EQ(value("answer", good, 0.25), 0.25);
  EXPECT_EQ(value("answer", good, 0), 0);
  for (const Completion& bad : {unended, twice, empty, cut}) EXPECT_EQ(value("answer", bad, 1), 0);
}

TEST(Rewards, FormatAsksForOneThoughtOneAnswerAndAnEnd) {
  EXPECT_EQ(value("format", good, 0), 1);
  for (const Completion& bad : {unended, twice, empty, cut}) EXPECT_EQ(value("format", bad, 1), 0);
}

TEST(Rewards, LanguageAndCommandAreWhatTheyAreTold) {
  Completion completion = good;
  completion.prompt = "How many?";
  completion.thought = "so 数";
  EXPECT_DOUBLE_EQ(value("language", completion), 2.0 / 3);
  completion.outside = -0.5;
  EXPECT_EQ(value("command", completion, 1), -0.5);
  EXPECT_TRUE(find_reward("command", "test").value()->outside);
  EXPECT_FALSE(find_reward("answer", "test").value()->outside);
}

TEST(Rewards, LengthHasTheShapeOfDaposEquation13) {
  const auto of = [](std::int64_t tokens, bool finished = true) {
    return value("length", {.answer = "7", .think_ends = 1, .thinking = 0, .tokens = tokens, .tokens_max = 100, .finished = finished});
  };
  EXPECT_EQ(of(1), 0);
  EXPECT_EQ(of(80), 0);
  EXPECT_EQ(of(81), -0.05);
  EXPECT_EQ(of(90), -0.5);
  EXPECT_EQ(of(100), -1);
  EXPECT_EQ(of(100, false), -1);
  EXPECT_EQ(of(3, false), -1) << "whatever was cut has no end";
}

TEST(Rewards, AreFoundByNameAndTheNearestIsNamed) {
  for (const Reward* reward : all_rewards()) {
    EXPECT_EQ(find_reward(reward->name, "test").value(), reward);
    EXPECT_FALSE(reward->summary.empty());
  }
  const auto none = find_reward("lenght", "run.toml:4: [rl] rewards");
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().kind, ErrorKind::input);
  EXPECT_THAT(none.error().message, HasSubstr("run.toml:4: [rl] rewards: there is no reward 'lenght'; did you mean length?"));
  EXPECT_THAT(none.error().message, HasSubstr("answer, chance, command, format, language, length"));
}

}  // namespace
}  // namespace godwit::rl
