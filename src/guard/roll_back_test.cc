// What could go wrong: going back for ever, going back to a state of the trouble itself, leaving steps out that nobody looked at, or giving
// up although an older checkpoint is there.
#include "guard/roll_back.h"

#include <gtest/gtest.h>

#include <vector>

namespace godwit::guard {
namespace {

using Steps = std::vector<std::uint64_t>;

// All that are asked for while everything comes out as committed.
std::vector<Stretch> all(const Steps& checkpoints, std::uint64_t good, std::uint64_t head) {
  std::vector<Stretch> reproduced;
  while (const auto next = next_stretch(checkpoints, good, head, reproduced, 0)) {
    reproduced.push_back(*next);
    if (reproduced.size() > 100) break;
  }
  return reproduced;
}

TEST(RollBack, BeginsAtTheNewestCheckpointBeforeTheTrouble) {
  EXPECT_EQ(next_stretch(Steps{0, 10, 20, 30}, 22, 30, {}, 0), (Stretch{20, 30}));
  EXPECT_EQ(next_stretch(Steps{0, 10, 20, 30}, 20, 28, {}, 0), (Stretch{20, 28})) << "the step before the trouble is good itself";
  EXPECT_EQ(next_stretch(Steps{30, 20, 0, 10}, 19, 27, {}, 0), (Stretch{10, 27})) << "whatever their order";
  EXPECT_EQ(next_stretch(Steps{30}, 22, 30, {}, 0), (Stretch{0, 30})) << "where none is left, the run begins again";
}

TEST(RollBack, StretchesJoinAndNoStepIsMadeTwice) {
  EXPECT_EQ(all({5, 10, 15, 20, 25, 30}, 22, 30), (std::vector<Stretch>{{20, 30}, {15, 20}, {10, 15}}));
  EXPECT_EQ(all({10, 20, 30}, 22, 30), (std::vector<Stretch>{{20, 30}, {10, 20}})) << "steps before the oldest checkpoint are an audit's";
  EXPECT_EQ(all({0, 10}, 2, 10), (std::vector<Stretch>{{0, 10}})) << "nothing lies before the beginning";
}

TEST(RollBack, TheBudgetIsUsedUp) {
  Steps many;
  for (std::uint64_t step = 0; step <= 1000; step += 10) many.push_back(step);
  EXPECT_EQ(all(many, 995, 1003).size(), stretches_max);
  EXPECT_TRUE(next_stretch(many, 995, 1003, {}, made_anew_max - 1).has_value());
  EXPECT_FALSE(next_stretch(many, 995, 1003, {}, made_anew_max).has_value());
}

}  // namespace
}  // namespace godwit::guard
