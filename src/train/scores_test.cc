// What could go wrong: a record that is not what was written is believed; a score comes back as another number.
#include "train/scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "store/test_directory.h"
#include "train/area.h"

namespace godwit::train {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<ScoredGroup> groups() {
  return {{sha256(as_bytes("a")), {0.1, -1e6, 1.0 / 3}}, {sha256(as_bytes("b")), {0, 5e-324, 1}}};
}

TEST(Scores, ComeBackAsTheyWereWritten) {
  const store::TestDirectory directory;
  const fs::path rewards = directory.path() / "rewards";
  EXPECT_FALSE(read_scores(rewards, 3).value().has_value());
  ASSERT_TRUE(write_scores(rewards, 3, groups()).ok());
  ASSERT_TRUE(write_scores(rewards, 12, groups()).ok());
  const Scores read = read_scores(rewards, 3).value().value();
  EXPECT_EQ(read.step, 3u);
  ASSERT_EQ(read.groups.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.groups[i].completions, groups()[i].completions);
    EXPECT_EQ(read.groups[i].scores, groups()[i].scores);
  }
  EXPECT_THAT(scored_steps(rewards).value(), ElementsAre(3u, 12u));
  const auto noted = noted_scores(scores_note(read));
  ASSERT_TRUE(noted.has_value());
  EXPECT_EQ(noted->step, 3u);
  EXPECT_EQ(noted->digest, read.digest);
  EXPECT_FALSE(noted_scores("loss is not finite").has_value());
}

TEST(Scores, WhatChangedIsNotBelieved) {
  const store::TestDirectory directory;
  ASSERT_TRUE(write_scores(directory.path(), 3, groups()).ok());
  const fs::path path = scores_path(directory.path(), 3);
  const std::string whole = read_file(path).value();
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string changed = whole;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_TRUE(write_file_durably(path, changed).ok());
    const auto read = read_scores(directory.path(), 3);
    ASSERT_FALSE(read.ok()) << "byte " << i;
    EXPECT_EQ(read.error().kind, ErrorKind::differs);
    EXPECT_THAT(read.error().message, HasSubstr(path.string()));
    ASSERT_TRUE(write_file_durably(path, whole.substr(0, i)).ok());
    EXPECT_FALSE(read_scores(directory.path(), 3).ok()) << i << " bytes";
  }
  // Under another step's name it is not that step's.
  ASSERT_TRUE(write_file_durably(scores_path(directory.path(), 4), whole).ok());
  EXPECT_THAT(read_scores(directory.path(), 4).error().message, HasSubstr("holds no scores of step 4"));
}

TEST(Scores, TravelInAnArea) {
  std::vector<data::Sample> samples(2);
  for (data::Sample& sample : samples) {
    sample.ids = {1, 2, 3};
    sample.labelled = {0, 1};
  }
  const Scores scores{.step = 7, .digest = sha256(as_bytes("c")), .groups = groups()};
  std::vector<std::byte> memory(static_cast<std::size_t>(area_bytes(2, 2, 1, 3)));
  write_area(memory, samples, {{5}}, scores);
  const Area area = read_area(memory).value();
  ASSERT_TRUE(area.scores.has_value());
  EXPECT_EQ(area.scores->step, 7u);
  EXPECT_EQ(area.scores->digest, scores.digest);
  EXPECT_EQ(area.scores->groups[1].scores, groups()[1].scores);
  EXPECT_EQ(area.scores->groups[1].completions, groups()[1].completions);
  write_area(memory, samples, {{5}});
  EXPECT_FALSE(read_area(memory).value().scores.has_value());
}

}  // namespace
}  // namespace godwit::train
