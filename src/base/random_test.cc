// What could go wrong: another generator than the one written down, a shuffle that loses or doubles an item, biased draws.
#include "base/random.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <vector>

namespace godwit {
namespace {

// Random123's kat_vectors, philox4x32, 10 rounds.
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, PackingIsAsWritten) {
  const RandomStream stream(0x1122334455667788, Purpose::sample, 0x00aabbccddeeff01);
  const auto expected = philox({0x9abcdef0, 0x12345678, 0xddeeff01, 0x03aabbcc}, {0x55667788, 0x11223344});
  EXPECT_EQ(stream.words(0x123456789abcdef0), expected);
  EXPECT_EQ(stream.u32(0x123456789abcdef0), expected[0]);
  EXPECT_EQ(stream.u64(0x123456789abcdef0), std::uint64_t{expected[1]} << 32 | expected[0]);
  EXPECT_DEATH(RandomStream(0, Purpose::init, std::uint64_t{1} << 56), "below 2\\^56");
}

TEST(Random, UniformStaysBelowOne) {
  EXPECT_EQ(uniform_f32(0xffffffff), 1.0f - 0x1p-24f);
  EXPECT_EQ(uniform_f32(0), 0.0f);
  EXPECT_EQ(uniform_f32(0x100), 0x1p-24f);
  EXPECT_EQ(uniform_f64(~std::uint64_t{0}), 1.0 - 0x1p-53);
  RandomSequence draws(RandomStream(1, Purpose::test, 0));
  double sum = 0;
  for (int i = 0; i < 100000; ++i) sum += draws.f64();
  EXPECT_NEAR(sum / 100000, 0.5, 0.005);
}

TEST(Random, BelowIsEvenAndBounded) {
  RandomSequence draws(RandomStream(2, Purpose::test, 0));
  std::vector<int> counts(6);
  for (int i = 0; i < 60000; ++i) ++counts.at(draws.below(6));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  // Three quarters of 2^64: draws 4k and 4k + 1 both land on 3k, so without drawing again multiples of 3 would come up twice as often.
  const std::uint64_t large = std::uint64_t{3} << 62;
  std::vector<int> remainders(3);
  for (int i = 0; i < 30000; ++i) {
    const std::uint64_t value = draws.below(large);
    ASSERT_LT(value, large);
    ++remainders[value % 3];
  }
  for (const int count : remainders) EXPECT_NEAR(count, 10000, 400);
  EXPECT_EQ(draws.below(1), 0u);
}

TEST(Random, PermutationIsOne) {
  for (std::uint64_t count : {1, 2, 3, 15, 16, 17, 255, 256, 257, 1000, 65537}) {
    const Permutation permutation(count, 7, 3);
    std::vector<bool> seen(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t place = permutation(i);
      ASSERT_LT(place, count);
      EXPECT_FALSE(seen[place]) << count << " " << i;
      seen[place] = true;
    }
  }
  const std::uint64_t huge = ~std::uint64_t{0};
  EXPECT_LT(Permutation(huge, 1, 1)(huge - 1), huge);
}

TEST(Random, PermutationDependsOnSeedAndEpoch) {
  auto order = [](std::uint64_t seed, std::uint64_t epoch) {
    const Permutation permutation(50, seed, epoch);
    std::vector<std::uint64_t> places;
    for (std::uint64_t i = 0; i < 50; ++i) places.push_back(permutation(i));
    return places;
  };
  EXPECT_EQ(order(1, 1), order(1, 1));
  EXPECT_EQ((std::set{order(1, 1), order(1, 2), order(2, 1), order(1, std::uint64_t{1} << 40)}).size(), 4u);
}

// All 24 orders of four items come up, about equally often.
TEST(Random, PermutationIsEvenForFewItems) {
  std::map<std::vector<std::uint64_t>, int> counts;
  for (std::uint64_t epoch = 0; epoch < 4800; ++epoch) {
    const Permutation permutation(4, 5, epoch);
    ++counts[{permutation(0), permutation(1), permutation(2), permutation(3)}];
  }
  EXPECT_EQ(counts.size(), 24u);
  for (const auto& [order, count] : counts) EXPECT_NEAR(count, 200, 60);
}

}  // namespace
}  // namespace godwit
