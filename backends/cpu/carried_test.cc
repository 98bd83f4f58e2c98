// A sum could be blind to some change; a result's sums could outlive its memory and doubt what lies there now.
#include "carried.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "instruction_set.h"

namespace godwit::cpu {
namespace {

std::vector<std::byte> some_bytes(std::int64_t count) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(count));
  std::uint64_t x = 1;
  for (std::byte& byte : bytes) byte = static_cast<std::byte>((x = x * 6364136223846793005u + 1442695040888963407u) >> 56);
  return bytes;
}

// By the sums of every instruction set of this machine.
template <typename Body>
void by_every_sum(const Body& body) {
  for (const InstructionSet& set : instruction_sets()) {
    if (!set.present) continue;
    SCOPED_TRACE(set.name);
    body(set.sum);
  }
}

TEST(Sum, ChangesWithEveryBitOfEveryLength) {
  by_every_sum([](SumBytes sum) {
    for (const std::int64_t count : {1, 4, 31, 64, 255, 256, 1000, 40000}) {
      std::vector<std::byte> bytes = some_bytes(count);
      const std::uint64_t before = sum(bytes.data(), count);
      for (std::int64_t bit = 0; bit < count * 8; bit += 1 + count / 300) {
        std::byte& byte = bytes[static_cast<std::size_t>(bit / 8)];
        byte ^= std::byte{1} << bit % 8;
        ASSERT_NE(sum(bytes.data(), count), before) << count << " bytes, bit " << bit;
        byte ^= std::byte{1} << bit % 8;
      }
      EXPECT_EQ(sum(bytes.data(), count), before);
    }
  });
}

// The sign bits of a column, rows that change places, zeros in front or behind: what plain sums of words do not see.
TEST(Sum, ChangesWithWhatCancelsInPlainSums) {
  by_every_sum([](SumBytes sum) {
    constexpr std::int64_t row = 256, rows = 200;
    const std::vector<std::byte> bytes = some_bytes(row * rows);
    const std::uint64_t before = sum(bytes.data(), row * rows);
    for (std::int64_t apart = 1; apart < rows; ++apart) {
      std::vector<std::byte> changed = bytes;
      for (const std::int64_t i : {std::int64_t{0}, apart}) changed[static_cast<std::size_t>(i * row + 7)] ^= std::byte{0x80};
      EXPECT_NE(sum(changed.data(), row * rows), before) << "two signs " << apart << " rows apart";
      changed = bytes;
      std::swap_ranges(changed.begin(), changed.begin() + row, changed.begin() + apart * row);
      EXPECT_NE(sum(changed.data(), row * rows), before) << "rows 0 and " << apart;
    }
    for (std::int64_t count = 2; count <= rows; ++count) {
      std::vector<std::byte> changed = bytes;
      for (std::int64_t i = 0; i < count; ++i) changed[static_cast<std::size_t>(i * row + 3)] ^= std::byte{0x80};
      EXPECT_NE(sum(changed.data(), row * rows), before) << "the sign of a column of " << count;
    }
    const std::vector<std::byte> zeros(row * rows);
    EXPECT_NE(sum(zeros.data(), row), sum(zeros.data(), row + 1));
  });
}

Carried carried(std::span<std::byte> bytes) {
  Carried result;
  result.data = bytes.data();
  result.bytes = static_cast<std::int64_t>(bytes.size());
  result.chunk = result.row = 64;
  result.sums.resize((bytes.size() + 63) / 64);
  return result;
}

class Sums : public testing::Test {
 protected:
  std::vector<std::byte> memory_ = some_bytes(1024);
  Pool pool_{2};
  CarriedSums sums_{instruction_sets().front().sum};
  Findings findings_;

  Carried take(std::size_t begin, std::size_t count) {
    Carried result = carried(std::span(memory_).subspan(begin, count));
    sums_.take(result, pool_);
    return result;
  }
  std::vector<std::int64_t> changed(std::size_t begin, std::int64_t bytes) {
    std::vector<std::int64_t> rows;
    sums_.look(*sums_.find(&memory_[begin], bytes), pool_, [&](std::int64_t row) { rows.push_back(row); });
    std::ranges::sort(rows);
    return rows;
  }
};

TEST_F(Sums, SayWhichRowChanged) {
  sums_.place(take(128, 300));
  EXPECT_EQ(changed(128, 300), std::vector<std::int64_t>());
  memory_[128 + 70] ^= std::byte{1};
  memory_[128 + 299] ^= std::byte{1};
  memory_[127] ^= std::byte{1};
  memory_[428] ^= std::byte{1};
  EXPECT_EQ(changed(128, 300), (std::vector<std::int64_t>{1, 4}));
}

TEST_F(Sums, GoWithTheMemoryTheyAreOf) {
  sums_.place(take(0, 128));
  sums_.place(take(128, 128));
  sums_.place(take(256, 128));
  EXPECT_EQ(sums_.find(&memory_[0], 127), nullptr);
  EXPECT_EQ(sums_.find(&memory_[1], 127), nullptr);
  sums_.place(take(64, 128));  // over the end of one and the begin of another
  EXPECT_EQ(sums_.find(&memory_[0], 128), nullptr);
  EXPECT_EQ(sums_.find(&memory_[128], 128), nullptr);
  ASSERT_NE(sums_.find(&memory_[64], 128), nullptr);
  EXPECT_NE(sums_.find(&memory_[256], 128), nullptr);
  memory_[64] ^= std::byte{1};
  EXPECT_EQ(changed(64, 128), std::vector<std::int64_t>{0});
  sums_.place(take(64, 128));
  EXPECT_EQ(changed(64, 128), std::vector<std::int64_t>());
}

TEST_F(Sums, OfTheHostAreLookedAtOnce) {
  Carried result = take(0, 256);
  result.for_host = true;
  result.made.op = 5;
  sums_.place(std::move(result));
  sums_.place(take(512, 256));
  memory_[200] ^= std::byte{1};
  memory_[600] ^= std::byte{1};
  sums_.look_for_host(pool_, findings_);
  sums_.look_for_host(pool_, findings_);
  godwit_finding found{};
  EXPECT_EQ(findings_.take(&found, 1), 1);
  EXPECT_EQ(found.op, 5);
  EXPECT_EQ(found.row, 3);
}

}  // namespace
}  // namespace godwit::cpu
