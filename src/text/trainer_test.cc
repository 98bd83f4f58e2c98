// What could go wrong: the vocabulary depends on the order of a hash table, on where a file is cut, or on 32-bit counts.
#include "text/trainer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"

namespace godwit::text {
namespace {

Json merges_of(const Tokenizer& tokenizer) {
  return parse_json(tokenizer.json(), "trained").value()["model"]["merges"];
}

Tokenizer trained(std::string_view text, TrainerOptions options) {
  Trainer trainer = Trainer::create(options).value();
  EXPECT_TRUE(trainer.add_text(text).ok());
  return trainer.train().value();
}

TEST(Trainer, MergesTheMostFrequentPairAndTiesGoToTheSmallerIds) {
  // "ab" 3 times; then "zy", " ab" and "abc" twice each, and " ab" leaves only one "abc".
  const Tokenizer tokenizer = trained("abc abc ab zy.zy", {.vocab_size = 263 + 4});
  EXPECT_EQ(write_json(merges_of(tokenizer)), R"(["a b","z y","Ġ ab"])");
  EXPECT_EQ(tokenizer.vocab_size(), 266);
  EXPECT_EQ(tokenizer.token_id("ab"), 259);
  EXPECT_EQ(tokenizer.token_id("<｜User｜>"), 262);
}

TEST(Trainer, StopsWhereNoPairIsFrequentEnough) {
  EXPECT_EQ(trained("abcdefg", {.vocab_size = 1000}).vocab_size(), 263);
  EXPECT_EQ(trained("abcdefg", {.vocab_size = 1000, .min_frequency = 1}).vocab_size(), 263 + 6);
}

TEST(Trainer, DigitsCanStayApart) {
  EXPECT_NE(trained("12 12 12 ab ab", {.vocab_size = 300}).token_id("12"), std::nullopt);
  const Tokenizer apart = trained("12 12 12 ab ab", {.vocab_size = 300, .merge_digits = false});
  EXPECT_EQ(apart.token_id("12"), std::nullopt);
  EXPECT_NE(apart.token_id("ab"), std::nullopt);
}

TEST(Trainer, AFileOfSeveralBlocksTrainsAsItsText) {
  const auto path = std::filesystem::path(testing::TempDir()) / "godwit_trainer_test.txt";
  std::string text;
  // Lines of 24 bytes whose pairs all tie: one line cut in two at a block's end would change the order of merges.
  while (text.size() < (std::size_t{10} << 20)) text += "mlkjihgfedcbazyxwvutsrq\n";
  for (std::uint32_t i = 0, x = 1; text.size() < (std::size_t{20} << 20); ++i) {
    x = x * 1664525 + 1013904223;
    text += std::string(1 + (x >> 28), static_cast<char>('a' + (x >> 8) % 7)) + (x % 11 == 0 ? "\n\n  " : x % 5 == 0 ? "é\n" : " ");
  }
  std::ofstream(path, std::ios::binary) << text;
  Trainer from_file = Trainer::create({.vocab_size = 400}).value();
  std::uint64_t last = 0;
  ASSERT_TRUE(from_file.add_file(path).ok());
  Trainer watched = Trainer::create({.vocab_size = 400}, [&](const TrainerProgress& progress) {
                      if (progress.stage == TrainerProgress::Stage::reading) {
                        EXPECT_GT(progress.done, last);
                        last = progress.done;
                      }
                    }).value();
  ASSERT_TRUE(watched.add_file(path).ok());
  EXPECT_EQ(last, text.size());
  std::filesystem::remove(path);
  EXPECT_EQ(from_file.train().value().json(), trained(text, {.vocab_size = 400}).json());
}

TEST(Trainer, RefusesWhatCannotBeTrained) {
  EXPECT_FALSE(Trainer::create({.vocab_size = 262}).ok());
  Trainer empty = Trainer::create({.vocab_size = 300}).value();
  EXPECT_FALSE(empty.train().ok());
  EXPECT_FALSE(empty.add_file("/nonexistent/text").ok());
  EXPECT_FALSE(empty.add_file(testing::TempDir()).ok());
}

TEST(Trainer, BytesThatAreNoTextAreNoObstacle) {
  const Tokenizer tokenizer = trained("ab\xFF\xFF\xC3 ab \xF0\x9F", {.vocab_size = 300});
  EXPECT_EQ(*tokenizer.decode(*tokenizer.encode("ab\xFF")), "ab\xFF");
}

}  // namespace
}  // namespace godwit::text
