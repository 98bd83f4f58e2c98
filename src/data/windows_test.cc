// What could go wrong: an id that no epoch predicts, one that is predicted twice, a window over the end, a phase that is always the same.
#include "data/windows.h"

#include <gtest/gtest.h>

#include <set>

namespace godwit::data {
namespace {

TEST(windows, every_epoch_visits_each_of_its_windows_once_and_stays_inside) {
  for (const std::uint64_t sequence : {1u, 2u, 7u, 8u}) {
    for (std::uint64_t ids = sequence + 1; ids < 60; ++ids) {
      const Windows windows(ids, sequence);
      ASSERT_GE(windows.count(), 1u);
      for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
        const std::uint64_t phase = windows.phase(3, epoch);
        ASSERT_LT(phase, windows.phases());
        std::set<std::uint64_t> expected, visited;
        for (std::uint64_t place = 0; place < windows.count(); ++place) {
          expected.insert(phase + place * sequence);
          visited.insert(windows.begin(3, epoch * windows.count() + place));
        }
        ASSERT_EQ(visited, expected);
        ASSERT_LE(*visited.rbegin() + sequence + 1, ids) << ids << " ids, sequence " << sequence;
      }
    }
  }
}

TEST(windows, phases_use_all_the_ids) {
  EXPECT_EQ(Windows(100, 10).count(), 9u);
  EXPECT_EQ(Windows(100, 10).phases(), 10u);
  EXPECT_EQ(Windows(109, 10).count(), 9u);
  EXPECT_EQ(Windows(11, 10).count(), 1u);
  EXPECT_EQ(Windows(11, 10).phases(), 1u);
  EXPECT_EQ(Windows(15, 10).phases(), 5u);
  const Windows windows(1000, 10);
  std::set<std::uint64_t> phases;
  for (std::uint64_t epoch = 0; epoch < 200; ++epoch) phases.insert(windows.phase(1, epoch));
  EXPECT_EQ(phases.size(), 10u);
}

TEST(windows, epochs_and_seeds_differ) {
  const Windows windows(100000, 10);
  int same_epoch = 0, same_seed = 0;
  for (std::uint64_t place = 0; place < 100; ++place) {
    same_epoch += windows.begin(1, place) == windows.begin(1, windows.count() + place);
    same_seed += windows.begin(1, place) == windows.begin(2, place);
  }
  EXPECT_LT(same_epoch, 5);
  EXPECT_LT(same_seed, 5);
}

// The packing is a promise: a run begun earlier must find the same samples.
TEST(windows, the_order_is_pinned) {
  const Windows windows(1000, 16);
  std::vector<std::uint64_t> begins;
  for (const std::uint64_t index : {0, 1, 2, 61, 1000}) begins.push_back(windows.begin(42, index));
  EXPECT_EQ(begins, (std::vector<std::uint64_t>{354, 674, 210, 290, 184}));
}

}  // namespace
}  // namespace godwit::data
