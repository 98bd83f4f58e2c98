// What could go wrong: ids that depend on where a large text happened to be cut; documents run together; a broken line passed over.
#include "data/source.h"

#include <random>

#include "base/json.h"
#include "data/test_files.h"
#include "text/trainer.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;
using text::Tokenizer;

std::vector<std::int32_t> ids_of(const TokenShard& shard) {
  std::vector<std::int32_t> ids(shard.figures().ids);
  shard.read(0, ids).value();
  return ids;
}

Result<std::vector<std::int32_t>> tokenized(const TestFiles& files, const std::filesystem::path& path, const Tokenizer& tokenizer,
                                            const TokenizeOptions& options = {}) {
  const Digest key{};
  TRY_ASSIGN(const Source source, open_source(path, "text"));
  TRY_ASSIGN(auto writer, TokenShardWriter::create(files.write("shard", ""), key, 4));
  TRY(tokenize(source, tokenizer, *tokenizer.eos(), writer, options));
  TRY(writer.commit());
  TRY_ASSIGN(const TokenShard shard, TokenShard::open(path.parent_path() / "shard", key));
  return ids_of(shard);
}

// A text whose every line break is a trap for someone.
std::string text_of_traps(std::uint32_t seed, int parts) {
  static const std::vector<std::string> pieces{"the quick brown fox",
                                               "\n",
                                               "\n",
                                               "\n",
                                               "\r\n",
                                               " \n",
                                               "\n ",
                                               "\n\n",
                                               "\t\n\t",
                                               "12345678",
                                               "7\n8",
                                               "!?…",
                                               "!\n",
                                               "日本語の文",
                                               "é́",
                                               "\xFF",
                                               "\xE3\x81",
                                               "don't",
                                               "a\nb",
                                               "x ",
                                               "\u3000\n",
                                               "<tok>",
                                               "<tok>\n",
                                               "\n<tok>",
                                               "<｜end▁of▁sentence｜>",
                                               "\n<A",
                                               ">B",
                                               "\n-w0rd"};
  std::mt19937 random(seed);
  std::string text;
  for (int i = 0; i < parts; ++i) text += pieces[random() % pieces.size()];
  return text;
}

Tokenizer trained() {
  auto trainer = text::Trainer::create({.vocab_size = 500}).value();
  trainer.add_text(text_of_traps(7, 3000)).value();
  return trainer.train().value();
}

// The trained tokenizer with another pre-tokenizer and tokens that reach over line breaks.
Tokenizer with(const Json& pre_tokenizer) {
  const Tokenizer base = trained();
  Json file = parse_json(base.json(), "tokenizer.json").value();
  file["pre_tokenizer"] = pre_tokenizer;
  int id = base.vocab_size();
  for (const auto& [content, lstrip, rstrip] :
       {std::tuple("<tok>", true, true), std::tuple("\n<A", false, false), std::tuple("-w0rd", true, false)}) {
    file["added_tokens"].push_back({{"id", id++},
                                    {"content", content},
                                    {"single_word", false},
                                    {"lstrip", lstrip},
                                    {"rstrip", rstrip},
                                    {"normalized", false},
                                    {"special", true}});
  }
  return Tokenizer::from_json(write_json(file), "tokenizer.json").value();
}

void expect_pieces_equal_the_whole(const Tokenizer& tokenizer, bool many) {
  const TestFiles files;
  std::size_t cuts = 0;
  for (std::uint32_t seed = 0; seed < 3; ++seed) {
    const std::string text = text_of_traps(seed, 400);
    const auto path = files.write("a.txt", text);
    auto expected = tokenizer.encode(text).value();
    expected.push_back(*tokenizer.eos());
    for (const std::size_t piece : {16u, 100u, 1000u}) {
      TokenizeOptions options{.piece_bytes = piece};
      options.progress = [&](std::uint64_t) { ++cuts; };
      ASSERT_EQ(tokenized(files, path, tokenizer, options).value(), expected) << "seed " << seed << ", pieces of " << piece;
    }
  }
  EXPECT_GT(cuts, many ? 150u : 0u);
}

TEST(source, a_text_in_pieces_has_the_ids_of_the_whole) {
  const Tokenizer tokenizer = trained();
  ASSERT_GT(tokenizer.vocab_size(), 300);
  expect_pieces_equal_the_whole(tokenizer, true);
  expect_pieces_equal_the_whole(Tokenizer::bytes(), true);
}

TEST(source, so_it_has_with_regexes_that_look_ahead_and_tokens_that_swallow_line_breaks) {
  const Tokenizer base = trained();
  const Json deepseek = parse_json(base.json(), "tokenizer.json").value()["pre_tokenizer"];
  Json gpt2{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  expect_pieces_equal_the_whole(with(deepseek), true);
  expect_pieces_equal_the_whole(with(gpt2), true);
  gpt2["add_prefix_space"] = true;  // every text would begin with a blank: nowhere to cut
  expect_pieces_equal_the_whole(with(gpt2), false);
}

TEST(source, a_cut_has_a_line_break_before_it_and_a_visible_character_behind) {
  const Tokenizer tokenizer = trained();
  EXPECT_EQ(find_cut("one two three four five six seven", tokenizer).value(), 0u);
  EXPECT_EQ(find_cut("one\ntwo three four five six seven", tokenizer).value(), 4u);
  EXPECT_EQ(find_cut("one\n two three four five six seven", tokenizer).value(), 0u);
  EXPECT_EQ(find_cut("one\n\n\ntwo three four five six seven", tokenizer).value(), 6u);
  EXPECT_EQ(find_cut("", tokenizer).value(), 0u);
  EXPECT_EQ(find_cut("\n", tokenizer).value(), 0u);
}

TEST(source, every_document_ends_with_eos) {
  const TestFiles files;
  const Tokenizer tokenizer = Tokenizer::bytes();
  const std::int32_t eos = *tokenizer.eos(), a = *tokenizer.token_id("a"), b = *tokenizer.token_id("b");
  EXPECT_EQ(tokenized(files, files.write("a.txt", "ab"), tokenizer).value(), (std::vector{a, b, eos}));
  EXPECT_EQ(tokenized(files, files.write("a.txt", ""), tokenizer).value(), std::vector<std::int32_t>());
  const auto lines =
      files.write("a.jsonl", "{\"text\": \"ab\", \"n\": 1}\n\n{\"text\": \"\"}\r\n  \n{\"n\": [1, {}], \"text\": \"b\"}\n{\"text\":\"a\"}");
  EXPECT_EQ(tokenized(files, lines, tokenizer).value(), (std::vector{a, b, eos, b, eos, a, eos}));
}

TEST(source, lines_longer_and_more_than_one_block_are_whole) {
  const TestFiles files;
  const Tokenizer tokenizer = Tokenizer::bytes();
  std::string lines;
  std::vector<std::int32_t> expected;
  for (const std::size_t size : {10u, 3000000u, 5u, 1048576u - 14u, 1u, 500000u}) {
    lines += "{\"text\": \"" + std::string(size, 'a') + "\"}\n";
    expected.insert(expected.end(), size, *tokenizer.token_id("a"));
    expected.push_back(*tokenizer.eos());
  }
  EXPECT_EQ(tokenized(files, files.write("a.jsonl", lines), tokenizer).value(), expected);
}

TEST(source, bytes_that_are_not_utf8_are_kept) {
  const TestFiles files;
  const Tokenizer tokenizer = trained();
  std::string text = "ab\xFF\xC3 cd\xE3\x81\n";
  text += '\0';
  auto ids = tokenized(files, files.write("a.txt", text), tokenizer).value();
  ids.pop_back();
  EXPECT_EQ(tokenizer.decode(ids).value(), text);
}

TEST(source, a_broken_line_is_named) {
  const TestFiles files;
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto error = [&](std::string_view lines) {
    const auto result = tokenized(files, files.write("a.jsonl", lines), tokenizer);
    EXPECT_TRUE(!result.ok() && result.error().kind == ErrorKind::input);
    return message(result);
  };
  const std::string good = "{\"text\": \"a\"}\n";
  EXPECT_THAT(error(good + good + "{\"text\": \"a\n" + good), HasSubstr("a.jsonl:3"));
  EXPECT_THAT(error(good + "[1]\n"), HasSubstr("a.jsonl:2: not a JSON object but array"));
  EXPECT_THAT(error(good + "\n\n{\"txt\": \"a\", \"id\": 3}\n"), HasSubstr("a.jsonl:4: has no key \"text\" but \"txt\", \"id\""));
  EXPECT_THAT(error("{\"text\": 7}"), HasSubstr("a.jsonl:1: \"text\" is not a string but number"));
  EXPECT_THAT(error("{}"), HasSubstr("none at all"));
  EXPECT_THAT(error("{\"text\": \"a\"} {\"text\": \"b\"}\n"), HasSubstr("a.jsonl:1"));
  EXPECT_THAT(error("{\"text\": \"\xFF\"}\n"), HasSubstr("a.jsonl:1"));
}

TEST(source, what_cannot_be_a_text_is_refused) {
  const TestFiles files;
  EXPECT_THAT(message(open_source("/nowhere/a.txt", "text")), HasSubstr("/nowhere/a.txt: there is no such file"));
  EXPECT_THAT(message(open_source(files.write("a.txt", "").parent_path(), "text")), HasSubstr("not a regular file"));
  EXPECT_THAT(message(open_source(files.write("a.jsonl.gz", "x"), "text")), HasSubstr("unpack it first"));
  EXPECT_THAT(message(open_source(files.write("a.json", "{}"), "text")), HasSubstr(".jsonl"));
}

TEST(source, a_file_that_changes_meanwhile_is_not_taken_for_the_old_one) {
  const TestFiles files;
  const Tokenizer tokenizer = Tokenizer::bytes();
  const Source source = open_source(files.write("a.txt", "before"), "text").value();
  for (const char* now : {"beforf", "before and after", ""}) {
    files.write("a.txt", now);
    auto writer = TokenShardWriter::create(files.write("shard", ""), Digest{}, 2).value();
    EXPECT_THAT(message(tokenize(source, tokenizer, 1, writer)), HasSubstr("changed while it was read"));
  }
}

TEST(source, a_stop_is_heard_between_pieces) {
  const TestFiles files;
  const auto path = files.write("a.txt", text_of_traps(1, 1000));
  int asked = 0;
  TokenizeOptions options{.piece_bytes = 100};
  options.interrupted = [&] { return ++asked == 3; };
  const auto result = tokenized(files, path, Tokenizer::bytes(), options);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().kind, ErrorKind::stopped);
  EXPECT_EQ(asked, 3);
}

}  // namespace
}  // namespace godwit::data
