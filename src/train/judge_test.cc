// NaN could become state; ordinary noise could be taken for a spike, a spike for noise; samples that rotted in memory could be trained on.
#include "train/judge.h"

#include <gtest/gtest.h>

#include <limits>

#include "train/area.h"

namespace godwit::train {
namespace {

RunScalars trained(std::uint64_t steps, float loss, float noise) {
  RunScalars scalars;
  for (std::uint64_t i = 0; i < steps; ++i) {
    ++scalars.step;
    remember(scalars, loss + (i % 2 == 0 ? noise : -noise));
  }
  return scalars;
}

TEST(Judge, WhatIsNoNumberNeverBecomesState) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinite = std::numeric_limits<float>::infinity();
  for (const std::uint64_t steps : {0, 10, 1000}) {
    const RunScalars scalars = trained(steps, 2, 0.1f);
    EXPECT_NE(doubt_of(scalars, nan, 1), "");
    EXPECT_NE(doubt_of(scalars, infinite, 1), "");
    EXPECT_NE(doubt_of(scalars, 1, nan), "");
    EXPECT_NE(doubt_of(scalars, 1, -infinite), "");
    EXPECT_EQ(doubt_of(scalars, 2, 1), "");
  }
}

TEST(Judge, ASpikeIsFarAboveThePast) {
  const RunScalars scalars = trained(200, 2, 0.1f);
  EXPECT_EQ(doubt_of(scalars, 2.9f, 1), "");
  EXPECT_NE(doubt_of(scalars, 6.0f, 1), "");
  EXPECT_EQ(doubt_of(trained(spike_after_steps - 1, 2, 0.1f), 6.0f, 1), "") << "a young run has no past";
}

TEST(Judge, SkippedStepsAreNoPast) {
  RunScalars scalars = trained(60, 2, 0.1f);
  scalars.step += 100;
  scalars.skipped += 100;
  EXPECT_NE(doubt_of(scalars, 6.0f, 1), "");
  RunScalars young = trained(20, 2, 0.1f);
  young.step += 100;
  young.skipped += 100;
  EXPECT_EQ(doubt_of(young, 6.0f, 1), "");
}

TEST(Area, GivesBackWhatWasWrittenAndNothingElse) {
  const std::vector<data::Sample> samples = {{{5, 6, 7, 8}, {1, 0, 1}}, {{9, 10}, {1}}};
  std::vector<std::byte> memory(static_cast<std::size_t>(area_bytes(2, 3, 2)));
  write_area(memory, samples, {{11, 12}});
  const auto area = read_area(memory);
  ASSERT_TRUE(area.ok());
  ASSERT_EQ(area->samples.size(), 2u);
  EXPECT_EQ(area->samples[0].ids, samples[0].ids);
  EXPECT_EQ(area->samples[1].labelled, samples[1].labelled);
  EXPECT_EQ(area->counts.next, 3);
  EXPECT_EQ(area->cursor.values, (std::vector<std::uint64_t>{11, 12}));
  for (std::size_t byte = 0; byte < 40 + 60; ++byte) {
    std::vector<std::byte> spoilt = memory;
    spoilt[byte] ^= std::byte{4};
    EXPECT_FALSE(read_area(spoilt).ok()) << "byte " << byte;
  }
}

}  // namespace
}  // namespace godwit::train
