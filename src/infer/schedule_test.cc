// A prompt could stop the answers, an owner with many requests could stop the others, a run could be mostly padding.
#include "infer/schedule.h"

#include <gtest/gtest.h>

namespace godwit::infer {
namespace {

using Rows = std::vector<std::int64_t>;

TEST(Schedule, AnswersGoOnWhateverPromptsThereAre) {
  EXPECT_EQ(schedule({}, 8), Rows{});
  EXPECT_EQ(schedule(std::vector<Pending>{{1, 0, 0}, {1, 2, 0}}, 8), (Rows{1, 3}));
  EXPECT_EQ(schedule(std::vector<Pending>{{1, 0, 0}, {900, 0, 0}, {1, 0, 0}}, 14), (Rows{1, 14, 1}));
  EXPECT_EQ(schedule(std::vector<Pending>{{30, 0, 0}, {30, 0, 0}}, 32), (Rows{30, 2})) << "of one owner the first goes first";
  EXPECT_EQ(schedule(std::vector<Pending>{{2, 5, 0}}, 1), (Rows{1})) << "no guesses before the prompt is read";
}

TEST(Schedule, OwnersShareTheRows) {
  EXPECT_EQ(schedule(std::vector<Pending>{{100, 0, 1}, {100, 0, 1}, {100, 0, 2}}, 64), (Rows{32, 0, 32}));
  EXPECT_EQ(schedule(std::vector<Pending>{{100, 0, 1}, {100, 0, 1}, {10, 0, 2}}, 64), (Rows{54, 0, 10}));
  std::vector<Pending> many;
  for (std::uint64_t owner = 0; owner < 8; ++owner) many.push_back({100, 0, owner});
  EXPECT_EQ(schedule(many, 64), (Rows{16, 16, 16, 16, 0, 0, 0, 0})) << "fewer than 16 rows are not worth a run";
}

TEST(Schedule, AFewRowsBeyondAPowerOfTwoWait) {
  EXPECT_EQ(schedule(std::vector<Pending>{{1, 0, 0}, {1, 0, 0}, {900, 0, 0}}, 128), (Rows{1, 1, 126}));
  EXPECT_EQ(schedule(std::vector<Pending>{{90, 0, 0}}, 128), (Rows{90}));
  EXPECT_EQ(schedule(std::vector<Pending>{{70, 0, 0}}, 128), (Rows{64}));
  // All of a prompt is never left out: it would wait for ever.
  EXPECT_EQ(schedule(std::vector<Pending>{{1, 3, 0}, {1, 3, 0}, {2, 0, 0}}, 1), (Rows{4, 4, 1}));
}

TEST(Schedule, TheOwnerWithTheFewestStreamsIsNext) {
  const auto next = [](const std::vector<std::uint64_t>& waiting, const std::vector<std::uint64_t>& running) {
    return next_waiting(waiting, running);
  };
  EXPECT_EQ(next({1}, {}), 0u);
  EXPECT_EQ(next({1, 1, 2, 3}, {1, 1, 2}), 3u);
  EXPECT_EQ(next({1, 1, 2}, {1, 2}), 0u) << "of equals the first";
}

}  // namespace
}  // namespace godwit::infer
