// A stream could copy rows that are not its own, or wait for one that will never read what it waits for.
#include "infer/reuse.h"

#include <gtest/gtest.h>

#include <numeric>

namespace godwit::infer {
namespace {

using Ids = std::vector<std::int32_t>;

// 0, 1, 2, …, but for the last `own` ones.
Ids ids(std::int64_t length, std::int64_t own) {
  Ids made(static_cast<std::size_t>(length));
  std::iota(made.begin(), made.end(), 0);
  for (std::size_t i = made.size() - static_cast<std::size_t>(own); i < made.size(); ++i) made[i] += 1000 * static_cast<std::int32_t>(own);
  return made;
}

TEST(Reuse, TheLongestOfTheOthersRowsIsFound) {
  const Ids a = ids(60, 10), b = ids(60, 20), c = ids(60, 30);
  std::vector<Progress> streams = {{1, 5, a, 20}, {1, 5, b, 30}, {1, 5, c, 0}};
  const auto rows = [&](std::size_t of) {
    const auto found = rows_of_another(streams, of, 64);
    return found ? std::pair(found->stream, found->end) : std::pair(of, std::int64_t{0});
  };
  EXPECT_EQ(rows(2), std::pair(std::size_t{1}, std::int64_t{30}));
  EXPECT_EQ(rows(0), std::pair(std::size_t{1}, std::int64_t{30}));
  EXPECT_EQ(rows(1).second, 0) << "the other has fewer";
  streams[1].done = 50;
  EXPECT_EQ(rows(0), std::pair(std::size_t{1}, std::int64_t{40})) << "ids in common";
  EXPECT_EQ(rows_of_another(streams, 2, 16)->end, 16) << "no more than a page";
  streams[2].ids = streams[2].ids.first(11);
  EXPECT_EQ(rows(2).second, 10) << "not the last id's";
  for (Progress& stream : streams) stream.owner = 0;
  EXPECT_EQ(rows(2).second, 0) << "nobody's";
  streams[0].owner = streams[1].owner = 1;
  streams[2].owner = 2;
  EXPECT_EQ(rows(2).second, 0) << "another owner's";
  streams[2].owner = 1;
  streams[2].chain = 6;
  EXPECT_EQ(rows(2).second, 0) << "other ids before";
}

TEST(Reuse, OneReadsForTheOthersWhoWaitForNobodyElse) {
  const Ids a = ids(60, 10), b = ids(60, 20);
  std::vector<Progress> streams = {{1, 5, a, 0}, {1, 5, b, 0}, {1, 5, a, 0}};
  EXPECT_FALSE(reads_for(streams, 0)) << "the earliest never waits";
  EXPECT_TRUE(reads_for(streams, 1));
  EXPECT_TRUE(reads_for(streams, 2));
  streams[0].done = 30;
  EXPECT_FALSE(reads_for(streams, 1)) << "10 rows to come are fewer than a wait is worth";
  EXPECT_TRUE(reads_for(streams, 2));
  streams[0].done = 59;
  EXPECT_FALSE(reads_for(std::span(streams).first(1), 0));
  streams[1].done = 59;
  EXPECT_FALSE(reads_for(streams, 2)) << "both are answering";
  streams[0].done = streams[1].done = 0;
  streams[0].chain = streams[1].chain = 4;
  EXPECT_FALSE(reads_for(streams, 2));
}

}  // namespace
}  // namespace godwit::infer
