// What could go wrong: a replay draws other prompts; a prompt is scored as another's; every pass over a file has one order; a problem is
// left out of a pass; a prompt is learned by heart.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "data/document.h"
#include "data/test_files.h"
#include "rl/roll_outs.h"

namespace godwit::rl {
namespace {

using data::take;

class Prompts : public testing::Test {
 protected:
  std::unique_ptr<data::Problems> file(int count) {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += fmt::format("{{\"question\": \"{}+0=\", \"answer\": \"{}\"}}\n", i, i);
    return data::open_problems({.name = files_.write("mine.jsonl", lines).string(), .place = "test"}).value();
  }
  data::TestFiles files_;
  text::Tokenizer tokenizer_ = text::Tokenizer::characters();
};

std::unique_ptr<data::Problems> parity() {
  return data::open_problems({.name = "parity", .options = {{"bits", 4}}, .seed = 3, .place = "test"}).value();
}

TEST_F(Prompts, AReplayedCursorGivesTheSamePrompts) {
  for (const auto& problems : {parity(), file(7)}) {
    const auto prompts = make_prompts(*problems, tokenizer_, 5);
    const auto whole = take(*prompts, 20);
    data::Cursor cursor = prompts->begin();
    (void)take(*prompts, cursor, 9);
    const data::Cursor then = cursor;
    for (int again = 0; again < 2; ++again) {
      cursor = then;
      const auto rest = take(*prompts, cursor, 11);
      for (std::size_t i = 0; i < rest.size(); ++i) {
        EXPECT_EQ(rest[i].ids, whole[9 + i].ids);
        EXPECT_EQ(rest[i].index, 9 + i);
      }
    }
  }
}

TEST_F(Prompts, APromptIsThatOfItsProblemAndNothingOfItIsLabelled) {
  for (const auto& problems : {parity(), file(7)}) {
    const auto prompts = make_prompts(*problems, tokenizer_, 5);
    for (const data::Sample& sample : take(*prompts, 20)) {
      EXPECT_EQ(sample.ids, data::prompt_ids(problem_at(*problems, 5, sample.index), tokenizer_).value());
      EXPECT_EQ(sample.labelled, std::vector<std::uint8_t>(sample.ids.size() - 1, 0));
      EXPECT_LE(sample.predictions(), prompts->predictions_max());
    }
  }
}

TEST_F(Prompts, AFileIsGoneThroughInAnotherOrderEachTime) {
  const auto problems = file(16);
  std::vector<std::vector<std::string>> passes;
  for (std::uint64_t pass = 0; pass < 3; ++pass) {
    auto& order = passes.emplace_back();
    for (std::uint64_t i = 0; i < 16; ++i) order.push_back(problem_at(*problems, 5, pass * 16 + i).prompt);
    EXPECT_EQ(std::set<std::string>(order.begin(), order.end()).size(), 16u) << "each once";
  }
  EXPECT_NE(passes[0], passes[1]);
  EXPECT_NE(passes[1], passes[2]);
  EXPECT_NE(problem_at(*problems, 5, 0).prompt + problem_at(*problems, 5, 1).prompt + problem_at(*problems, 5, 2).prompt,
            problem_at(*problems, 6, 0).prompt + problem_at(*problems, 6, 1).prompt + problem_at(*problems, 6, 2).prompt)
      << "the seed is of the order too";
}

TEST_F(Prompts, ATaskHasNoEnd) {
  const auto problems = parity();
  EXPECT_EQ(make_prompts(*problems, tokenizer_, 5)->samples_per_epoch(), 0u);
  const auto seven = file(7);
  EXPECT_EQ(make_prompts(*seven, tokenizer_, 5)->samples_per_epoch(), 7u);
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(problem_at(*problems, 5, i), problems->problem(data::Split::training, i));
}

}  // namespace
}  // namespace godwit::rl
