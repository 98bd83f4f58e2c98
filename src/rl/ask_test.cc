// What could go wrong: an answer depends on what is asked beside it; a figure is another than its name says; a vote is won by whoever came
// last.
#include "rl/ask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "data/test_files.h"
#include "infer/test_model.h"

namespace godwit::rl {
namespace {

using infer::TestModel;
using testing::HasSubstr;

// A try that answers so; none: it never ended its thinking.
Try said(std::optional<std::string> answer, double score, std::int64_t thinking = 0) {
  Try made;
  made.completion.answer = answer.value_or("");
  made.completion.think_ends = answer ? 1 : 0;
  made.completion.thinking = thinking;
  made.completion.tokens = thinking + 3;
  made.completion.tokens_max = 32;
  made.completion.finished = answer.has_value();
  made.score = score;
  return made;
}

std::vector<Asked> one_try_each(int right, int wrong) {
  std::vector<Asked> asked;
  for (int i = 0; i < right + wrong; ++i) asked.push_back({{}, {said("1", i < right ? 1 : 0)}});
  return asked;
}

TEST(Figures, OfOneTryEachHaveWilsonsInterval) {
  const AskedFigures eight = figures_of(one_try_each(8, 2));
  EXPECT_EQ(eight.problems, 10);
  EXPECT_EQ(eight.tries, 1);
  EXPECT_NEAR(eight.accuracy, 0.8, 1e-12);
  EXPECT_NEAR(eight.interval.low, 0.490162, 1e-5);
  EXPECT_NEAR(eight.interval.high, 0.943318, 1e-5);
  const AskedFigures none = figures_of(one_try_each(0, 10));
  EXPECT_EQ(none.accuracy, 0);
  EXPECT_NEAR(none.interval.low, 0, 1e-12);
  EXPECT_NEAR(none.interval.high, 0.277533, 1e-5);
  const AskedFigures all = figures_of(one_try_each(10, 0));
  EXPECT_NEAR(all.interval.low, 1 - 0.277533, 1e-5);
  EXPECT_NEAR(all.interval.high, 1, 1e-12);
}

TEST(Figures, OfSeveralTriesHaveTheSpreadOverProblems) {
  // Shares 1, ½, ½, 0: variance ½ / 3 over problems, of their mean a fourth of it.
  const std::vector<Asked> asked = {{{}, {said("1", 1), said("1", 1)}},
                                    {{}, {said("2", 0), said("1", 1)}},
                                    {{}, {said("1", 1), said("2", 0)}},
                                    {{}, {said("2", 0), said("2", 0)}}};
  const AskedFigures f = figures_of(asked);
  EXPECT_EQ(f.tries, 2);
  EXPECT_NEAR(f.accuracy, 0.5, 1e-12);
  EXPECT_NEAR(f.interval.low, 0.5 - 1.959964 * std::sqrt(0.5 / 3 / 4), 1e-9);
  EXPECT_NEAR(f.interval.high, 0.5 + 1.959964 * std::sqrt(0.5 / 3 / 4), 1e-9);
  EXPECT_NEAR(f.pass, 0.75, 1e-12);
  EXPECT_NEAR(f.consensus, 0.5, 1e-12) << "one vote each: the earlier of the two";
}

TEST(Figures, TheMostFrequentAnswerIsTheOneThatCounts) {
  const auto consensus = [](std::vector<Try> tries) { return figures_of({{{}, std::move(tries)}}).consensus; };
  EXPECT_EQ(consensus({said("1", 1), said("2", 0), said("2", 0)}), 0);
  EXPECT_EQ(consensus({said("2", 0), said("1", 1), said("1", 1)}), 1);
  EXPECT_EQ(consensus({said("2", 0), said("1", 1), said("3", 0)}), 0);
  EXPECT_EQ(consensus({said("1", 1), said("2", 0)}), 1) << "the earliest of equals";
  EXPECT_EQ(consensus({said("2", 0), said("1", 1)}), 0);
  EXPECT_EQ(consensus({said("1", 1), said("2", 0), said("1", 1), said("2", 0)}), 1);
  EXPECT_EQ(consensus({said({}, 0), said({}, 0), said("1", 1)}), 1) << "silence has no vote";
  EXPECT_EQ(consensus({said({}, 0), said({}, 0)}), 0);
}

TEST(Figures, PartlyRightIsNotRight) {
  const AskedFigures f = figures_of({{{}, {said("1", 0.9), said("1", 0.9)}}});
  EXPECT_EQ(f.accuracy, 0);
  EXPECT_EQ(f.pass, 0);
}

TEST(Figures, FormAndLengthAreSharesOfAllTries) {
  const AskedFigures f = figures_of({{{}, {said("1", 1, 4), said({}, 0, 8)}}, {{}, {said("1", 0, 0), said("", 0, 4)}}});
  EXPECT_EQ(f.length_mean, 4);
  EXPECT_EQ(f.well_formed, 0.5);
  EXPECT_EQ(f.cut, 0.25);
  EXPECT_EQ(figures_of({}).problems, 0);
}

class Asking : public testing::Test {
 protected:
  std::vector<Asked> asked(const AskOptions& options) {
    return ask(*m_.device, *m_.model, m_.weights, tokenizer_, *problems_, options).value();
  }
  TestModel m_{"", 1, {{"vocab_size", 64}, {"initializer_range", 0.002}}};
  text::Tokenizer tokenizer_ = text::Tokenizer::characters();
  std::unique_ptr<data::Problems> problems_ = data::open_problems({.name = "parity", .options = {{"bits", 3}}, .place = "test"}).value();
};

void expect_equal(const Asked& a, const Asked& b) {
  EXPECT_EQ(a.problem, b.problem);
  ASSERT_EQ(a.tries.size(), b.tries.size());
  for (std::size_t k = 0; k < a.tries.size(); ++k) {
    EXPECT_EQ(a.tries[k].ids, b.tries[k].ids);
    EXPECT_EQ(a.tries[k].score, b.tries[k].score);
    EXPECT_EQ(a.tries[k].completion.answer, b.tries[k].completion.answer);
  }
}

TEST_F(Asking, AnAnswerDoesNotDependOnHowManyAreAskedAtOnce) {
  AskOptions options{.count = 16, .tries = 8, .temperature = 1, .max_tokens = 40, .seed = 2, .streams = 64};
  const auto together = asked(options);
  options.streams = 1;
  const auto alone = asked(options);
  ASSERT_EQ(together.size(), 16u);
  for (std::size_t i = 0; i < 16; ++i) expect_equal(together[i], alone[i]);
  const AskedFigures figures = figures_of(together);
  EXPECT_GT(figures.well_formed, 0) << "of answers that are never given nothing is shown";
  EXPECT_NE(together[0].tries[0].ids, together[0].tries[1].ids);
  // Nor on which problems come before.
  options.first = 9;
  options.count = 3;
  options.streams = 5;
  const auto few = asked(options);
  for (std::size_t i = 0; i < 3; ++i) expect_equal(few[i], together[9 + i]);
}

TEST_F(Asking, WhatDoesNotFitTheContextIsRefusedWithItsFigures) {
  const auto refused = ask(*m_.device, *m_.model, m_.weights, tokenizer_, *problems_, {.count = 1, .max_tokens = 636});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message,
              HasSubstr("the longest prompt has 5 tokens; with 636 new ones that is more than the model's context of 640"));
}

TEST_F(Asking, ItsProgressCanEndIt) {
  AskOptions options{.count = 4, .max_tokens = 8};
  options.progress = [](double) -> Result<void> { return Error{ErrorKind::stopped, "stopped on request"}; };
  const auto stopped = ask(*m_.device, *m_.model, m_.weights, tokenizer_, *problems_, options);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::stopped);
}

}  // namespace
}  // namespace godwit::rl
