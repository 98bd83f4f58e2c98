// What could go wrong: ids that are nearly Hugging Face's; bytes that do not come back; a hostile file that crashes instead of an error.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "text/chat.h"
#include "text/tokenizer_file.h"

namespace godwit::text {
namespace {

namespace fs = std::filesystem;

const fs::path golden = fs::path(GODWIT_SOURCE_DIR) / "tests/golden/tokenizer";

Tokenizer golden_tokenizer() {
  return Tokenizer::load(golden).value();
}

Json golden_json() {
  return parse_json(read_file(golden / "tokenizer.json").value(), "golden").value();
}

std::string random_bytes(std::mt19937& random, std::size_t length) {
  // A mix that makes runs of text, broken characters and control tokens likely.
  static const std::vector<std::string> parts{"the ",  "<think>", "\n\n",     " 12345", "漢字",       "é",   "\xE6\xBC", "\xF0\x9F\x98",
                                              "\xFF",  "\xC3",    "don't",    "   ",    "<｜User｜>", "\r",  "😀",        "\xED\xA0\x80",
                                              "Hello", "\t",      "</think>", "a",      "<｜end▁of",  "\x80"};
  std::string text;
  while (text.size() < length) {
    if (random() % 4 == 0) {
      text.push_back(static_cast<char>(random() % 256));
    } else {
      text += parts[random() % parts.size()];
    }
  }
  return text;
}

TEST(Tokenizer, GivesHuggingFacesIdsForEveryGoldenText) {
  const Tokenizer tokenizer = golden_tokenizer();
  std::istringstream lines(read_file(golden / "expected.jsonl").value());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json expected = parse_json(line, "expected.jsonl").value();
    const auto text = expected["text"].get<std::string>();
    const auto ids = tokenizer.encode(text);
    ASSERT_TRUE(ids.ok());
    EXPECT_EQ(*ids, expected["ids"].get<std::vector<std::int32_t>>()) << text;
    EXPECT_EQ(*tokenizer.decode(*ids), text);
  }
  EXPECT_EQ(count, 225);
}

TEST(Tokenizer, KnowsItsSpecialTokens) {
  const Tokenizer tokenizer = golden_tokenizer();
  EXPECT_EQ(tokenizer.vocab_size(), 1028);
  EXPECT_EQ(tokenizer.bos(), 0);
  EXPECT_EQ(tokenizer.eos(), 1);
  EXPECT_EQ(tokenizer.pad(), 2);
  EXPECT_TRUE(tokenizer.is_special(0));
  EXPECT_FALSE(tokenizer.is_special(*tokenizer.token_id("<think>")));
  EXPECT_EQ(*tokenizer.decode(std::vector<std::int32_t>{0, 42, 1}, false), "H");
  EXPECT_EQ(tokenizer.encode("<think>").value(), std::vector<std::int32_t>{1026});
  EXPECT_GT(tokenizer.encode("<think>", {.added_tokens = false}).value().size(), 1u);
}

TEST(Tokenizer, BytesComeBackWhateverTheyAre) {
  std::mt19937 random(7);
  for (const Tokenizer& tokenizer : {golden_tokenizer(), Tokenizer::bytes()}) {
    for (int round = 0; round < 300; ++round) {
      const std::string text = random_bytes(random, random() % 200);
      EXPECT_EQ(*tokenizer.decode(*tokenizer.encode(text)), text);
    }
    const std::string long_text = random_bytes(random, 200'000);  // long enough for the piece cache
    const auto ids = *tokenizer.encode(long_text);
    EXPECT_EQ(*tokenizer.decode(ids), long_text);
  }
}

TEST(Tokenizer, TheLongWayAndTheCacheGiveTheShortWaysIds) {
  const Tokenizer tokenizer = golden_tokenizer();
  // One piece of letters goes through the heap; the same letters as lines of their own go the short way. Here no merge crosses a seam.
  std::string word = "theandthat", one_piece, lines;
  for (int i = 0; i < 4; ++i) one_piece += word;
  const auto short_ids = *tokenizer.encode(one_piece);
  std::string repeated;
  while (repeated.size() < 10'000) repeated += one_piece + "\n";
  const auto ids = *tokenizer.encode(repeated);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::size_t within = i % (short_ids.size() + 1);
    if (within == short_ids.size()) continue;
    ASSERT_EQ(ids[i], short_ids[within]);
  }
  const std::string many_a(1 << 20, 'a');
  EXPECT_EQ(*tokenizer.decode(*tokenizer.encode(many_a)), many_a);
}

TEST(Tokenizer, OfEqualPairsTheLeftmostIsMerged) {
  Json file = golden_json();
  file["model"]["vocab"]["aa"] = 1024;
  for (std::size_t i = 3; i < 7; ++i) file["added_tokens"][i]["id"] = 1022 + i;
  file["model"]["merges"] = Json::array({"a a"});
  const Tokenizer tokenizer = Tokenizer::from_json(write_json(file), "pairs").value();
  for (const std::size_t length : {9, 47, 49, 1001}) {  // the short way and the heap
    std::vector<std::int32_t> expected(length / 2, 1024);
    expected.push_back(*tokenizer.token_id("a"));
    EXPECT_EQ(*tokenizer.encode(std::string(length, 'a')), expected);
  }
}

TEST(Tokenizer, APostProcessorPutsBosInFrontWhenAsked) {
  Json file = parse_json(Tokenizer::bytes().json(), "bytes").value();
  file["post_processor"] = parse_json(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<｜begin▁of▁sentence｜>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
    "special_tokens": {"<｜begin▁of▁sentence｜>": {"id": "<｜begin▁of▁sentence｜>", "ids": [0], "tokens": ["<｜begin▁of▁sentence｜>"]}}})",
                                      "post_processor")
                               .value();
  const Tokenizer tokenizer = Tokenizer::from_json(write_json(file), "with BOS").value();
  EXPECT_EQ(tokenizer.encode("", {.add_special = true}).value(), std::vector<std::int32_t>{0});
  EXPECT_TRUE(tokenizer.encode("")->empty());
}

TEST(Tokenizer, ByteTokenizerIsBytesAndControlTokens) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  EXPECT_EQ(tokenizer.vocab_size(), 263);
  EXPECT_EQ(tokenizer.encode("Hi")->size(), 2u);
  EXPECT_EQ(tokenizer.encode("!")->front(), 3);
  EXPECT_TRUE(tokenizer.encode("", {.add_special = true})->empty());  // as it is trained on: no BOS
  for (const char* token :
       {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"}) {
    EXPECT_EQ(tokenizer.encode(token)->size(), 1u) << token;
  }
}

TEST(Tokenizer, CharacterTokenizerGivesEveryCharacterBackAndRefusesOthers) {
  const Tokenizer tokenizer = Tokenizer::characters();
  EXPECT_EQ(tokenizer.vocab_size(), 64);
  EXPECT_EQ(tokenizer.bos(), 0);
  EXPECT_EQ(tokenizer.eos(), 1);
  EXPECT_EQ(tokenizer.pad(), 2);
  std::vector<std::int32_t> all;
  for (const char character : own_characters) {
    const auto ids = tokenizer.encode(std::string(1, character)).value();
    ASSERT_EQ(ids.size(), 1u) << character;
    EXPECT_EQ(ids[0], 3 + static_cast<std::int32_t>(all.size()));
    EXPECT_EQ(tokenizer.token_bytes(ids[0]), std::string(1, character));
    EXPECT_FALSE(tokenizer.is_special(ids[0]));
    all.push_back(ids[0]);
  }
  EXPECT_EQ(tokenizer.encode(own_characters).value(), all);
  EXPECT_EQ(tokenizer.decode(all).value(), own_characters);
  EXPECT_EQ(tokenizer.encode("3+4=<think>7</think>7").value().size(), 8u);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("3+4=<think>7</think>7").value()).value(), "3+4=<think>7</think>7");
  EXPECT_EQ(tokenizer.encode("<think>", {.added_tokens = false}).value().size(), 7u);
  EXPECT_TRUE(tokenizer.encode("").value().empty());
  const auto error = [&](std::string_view text) {
    const auto ids = tokenizer.encode(text);
    EXPECT_FALSE(ids.ok()) << text;
    return ids.ok() ? "" : ids.error().message;
  };
  EXPECT_EQ(error("1 + A").substr(0, 100),
            "'A' (U+0041) at line 1, column 5 of the text (behind \"1 + \") is not one of the tokenizer's 57 charac");
  EXPECT_TRUE(error("ab\n<think>é").starts_with("'é' (U+00E9) at line 2, column 8 of the text"));
  EXPECT_TRUE(error("é=\xFF").starts_with("'é' (U+00E9) at line 1, column 1 of the text is"));
  EXPECT_TRUE(error("0=\xFF").starts_with("the byte 0xFF, which is not UTF-8 at line 1, column 3"));
  EXPECT_TRUE(error("\t").starts_with("a tab at line 1"));
  EXPECT_FALSE(error(std::string(100000, 'a') + "A").empty());
}

TEST(Tokenizer, SavedAndLoadedAgainIsTheSame) {
  const fs::path directory = fs::path(testing::TempDir()) / "godwit_tokenizer_test";
  for (const Tokenizer& tokenizer : {golden_tokenizer(), Tokenizer::bytes(), Tokenizer::characters()}) {
    ASSERT_TRUE(tokenizer.save(directory, 4096).ok());
    const Tokenizer again = Tokenizer::load(directory).value();
    EXPECT_EQ(again.json(), tokenizer.json());
    EXPECT_EQ(again.chat_template(), tokenizer.chat_template());
    EXPECT_EQ(again.bos(), tokenizer.bos());
    EXPECT_EQ(again.encode("the quick <think>").value(), tokenizer.encode("the quick <think>").value());
    const Json config = parse_json(read_file(directory / "tokenizer_config.json").value(), "config").value();
    EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
    EXPECT_EQ(config["model_max_length"], 4096);
    fs::remove_all(directory);
  }
}

TEST(Tokenizer, ConfigIsKeptAndItsTokensCount) {
  const fs::path directory = fs::path(testing::TempDir()) / "godwit_tokenizer_config_test";
  fs::create_directories(directory);
  std::ofstream(directory / "tokenizer.json") << golden_tokenizer().json();
  std::ofstream(directory / "tokenizer_config.json")
      << R"({"tokenizer_class": "LlamaTokenizerFast", "eos_token": {"content": "<think>"}, "pad_token": null, "custom": 7})";
  std::ofstream(directory / "chat_template.jinja") << "template";
  const Tokenizer tokenizer = Tokenizer::load(directory).value();
  EXPECT_EQ(tokenizer.eos(), 1026);
  EXPECT_EQ(tokenizer.pad(), std::nullopt);
  EXPECT_EQ(tokenizer.chat_template(), "template");
  const fs::path copy = directory / "copy";
  ASSERT_TRUE(tokenizer.save(copy).ok());
  const Json config = parse_json(read_file(copy / "tokenizer_config.json").value(), "config").value();
  EXPECT_EQ(config["custom"], 7);
  EXPECT_EQ(config["tokenizer_class"], "PreTrainedTokenizerFast");
  EXPECT_EQ(read_file(copy / "chat_template.jinja").value(), "template");
  std::ofstream(directory / "tokenizer_config.json") << R"({"eos_token": "<nowhere>"})";
  EXPECT_FALSE(Tokenizer::load(directory).ok());
  fs::remove_all(directory);
}

TEST(Tokenizer, AddedTokensFollowTheirFlags) {
  Json file = golden_json();
  const auto add = [&](const char* content, const char* flag) {
    Json token{{"id", 1021 + file["added_tokens"].size()},
               {"content", content},
               {"single_word", false},
               {"lstrip", false},
               {"rstrip", false},
               {"normalized", false},
               {"special", false}};
    token[flag] = true;
    file["added_tokens"].push_back(token);
  };
  add("[W]", "single_word");  // 1028
  add("[L]", "lstrip");       // 1029
  add("[R]", "rstrip");       // 1030
  add("[N]", "normalized");   // 1031
  add("[N][W]", "special");   // 1032
  const Tokenizer tokenizer = Tokenizer::from_json(write_json(file), "flags").value();
  const auto ids = [&](std::string_view text) { return *tokenizer.encode(text); };
  const std::int32_t a = *tokenizer.token_id("a");
  EXPECT_EQ(ids("[W]"), std::vector<std::int32_t>{1028});
  EXPECT_EQ(ids("[W][W]"), (std::vector<std::int32_t>{1028, 1028}));
  EXPECT_EQ(ids("a[W]").back(), *tokenizer.token_id("]"));
  EXPECT_EQ(ids("a \n[L]a"), (std::vector<std::int32_t>{a, 1029, a}));
  EXPECT_EQ(ids("a[R]\u3000 a"), (std::vector<std::int32_t>{a, 1030, a}));
  EXPECT_EQ(ids("[N]a"), (std::vector<std::int32_t>{1031, a}));
  EXPECT_EQ(ids("[N][W]"), std::vector<std::int32_t>{1032});  // the longest at one place, and before the normalized ones
}

TEST(Tokenizer, IdsWithoutTokenAreAnError) {
  const Tokenizer tokenizer = golden_tokenizer();
  for (const std::int32_t id : {-1, 1028, 2'000'000'000}) {
    const auto text = tokenizer.decode(std::vector<std::int32_t>{id});
    ASSERT_FALSE(text.ok());
    EXPECT_NE(text.error().message.find(std::to_string(id)), std::string::npos);
    EXPECT_EQ(tokenizer.token_bytes(id), "");
  }
}

TEST(StreamDecoder, NeverSplitsACharacterAndLosesNothing) {
  std::mt19937 random(11);
  for (const Tokenizer& tokenizer : {golden_tokenizer(), Tokenizer::bytes()}) {
    StreamDecoder decoder(tokenizer);
    std::vector<std::string> seen;
    const auto characters = *tokenizer.encode("é漢😀!");
    for (const std::int32_t id : characters) {
      const std::string text = decoder.push(id);
      if (!text.empty()) seen.push_back(text);
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"é", "漢", "😀", "!"}));
    for (int round = 0; round < 100; ++round) {
      const auto text = random_bytes(random, 100);
      const auto ids = *tokenizer.encode(text);
      std::string joined;
      for (const std::int32_t id : ids) joined += decoder.push(id);
      EXPECT_EQ(joined + decoder.flush(), text);
    }
    EXPECT_EQ(decoder.push(2'000'000), "");
  }
}

TEST(Tokenizer, ThreadsMayShareOne) {
  const Tokenizer tokenizer = golden_tokenizer();
  const std::string text = "To be, or not to be: that is the question. 12345 é漢";
  const auto expected = *tokenizer.encode(text);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) EXPECT_EQ(*tokenizer.encode(text), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

struct Hostile {
  const char* what;  // must be in the message
  std::function<void(Json&)> break_it;
};

TEST(Tokenizer, UnsupportedOrBrokenFilesAreRefusedByName) {
  const std::vector<Hostile> cases{
      {"WordPiece", [](Json& f) { f["model"]["type"] = "WordPiece"; }},
      {"byte_fallback", [](Json& f) { f["model"]["byte_fallback"] = true; }},
      {"dropout", [](Json& f) { f["model"]["dropout"] = 0.1; }},
      {"unk_token", [](Json& f) { f["model"]["unk_token"] = "<unk>"; }},
      {"end_of_word_suffix", [](Json& f) { f["model"]["end_of_word_suffix"] = "</w>"; }},
      {"NFC",
       [](Json& f) {
         f["normalizer"] = {{"type", "NFC"}};
       }},
      {"Lowercase",
       [](Json& f) { f["normalizer"] = parse_json(R"({"type":"Sequence","normalizers":[{"type":"Lowercase"}]})", "test").value(); }},
      {"Metaspace",
       [](Json& f) {
         f["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"pre_tokenizer", [](Json& f) { f["pre_tokenizer"] = nullptr; }},
      {"ByteLevel", [](Json& f) { f["pre_tokenizer"]["pretokenizers"].erase(3); }},
      {"Removed", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {"invert", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }},
      {"(?<x>", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?<x>a)"; }},
      {"does not compile", [](Json& f) { f["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(a"; }},
      {"RobertaProcessing",
       [](Json& f) {
         f["post_processor"] = {{"type", "RobertaProcessing"}};
       }},
      {"decoder", [](Json& f) { f["decoder"] = nullptr; }},
      {"WordPiece",
       [](Json& f) {
         f["decoder"] = {{"type", "WordPiece"}};
       }},
      {"truncation",
       [](Json& f) {
         f["truncation"] = {{"max_length", 5}};
       }},
      {"surprise", [](Json& f) { f["surprise"] = 1; }},
      {"version", [](Json& f) { f["version"] = "2.0"; }},
      {"both have id 4", [](Json& f) { f["model"]["vocab"]["#"] = 4; }},
      {"-1", [](Json& f) { f["model"]["vocab"]["#"] = -1; }},
      {"18446744073709551615", [](Json& f) { f["model"]["vocab"]["#"] = std::uint64_t(-1); }},
      {"2147483647", [](Json& f) { f["model"]["vocab"]["#"] = 2147483647; }},
      {"1.5", [](Json& f) { f["model"]["vocab"]["#"] = 1.5; }},
      {"0x23", [](Json& f) { f["model"]["vocab"].erase("#"); }},
      {"merge 765",
       [](Json& f) {
         f["model"]["merges"].push_back({"q", "zzz"});
       }},
      {"merge 765", [](Json& f) { f["model"]["merges"].push_back("q z"); }},
      {"merge 0", [](Json& f) { f["model"]["merges"] = {"a b c"}; }},
      {"vocab", [](Json& f) { f["model"].erase("vocab"); }},
      {"merges", [](Json& f) { f["model"]["merges"] = 3; }},
      {"1099", [](Json& f) { f["added_tokens"][6]["id"] = 1099; }},
      {"twice", [](Json& f) { f["added_tokens"].push_back(f["added_tokens"][6]); }},
      {"content", [](Json& f) { f["added_tokens"][6]["content"] = ""; }},
      {"special_tokens",
       [](Json& f) {
         f["post_processor"] = parse_json(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]})", "test").value();
       }},
  };
  for (const Hostile& hostile : cases) {
    Json file = golden_json();
    hostile.break_it(file);
    const auto tokenizer = Tokenizer::from_json(write_json(file), "hostile.json");
    ASSERT_FALSE(tokenizer.ok()) << hostile.what;
    EXPECT_EQ(tokenizer.error().kind, ErrorKind::input);
    EXPECT_NE(tokenizer.error().message.find(hostile.what), std::string::npos) << hostile.what << " not in: " << tokenizer.error().message;
    EXPECT_EQ(tokenizer.error().message.find("hostile.json"), 0u) << tokenizer.error().message;
  }
  EXPECT_FALSE(Tokenizer::from_json(std::string(20'000, '['), "deep").ok());
  EXPECT_FALSE(Tokenizer::from_json("[]", "list").ok());
  EXPECT_FALSE(Tokenizer::from_json("", "nothing").ok());
  EXPECT_FALSE(Tokenizer::load("/nonexistent/directory").ok());
}

TEST(Tokenizer, WordLevelIsReadForSingleCharactersOnly) {
  const std::vector<Hostile> cases{
      {"pre_tokenizer is null; with a WordLevel model only", [](Json& f) { f["pre_tokenizer"] = nullptr; }},
      {"[a-z]", [](Json& f) { f["pre_tokenizer"]["pattern"]["Regex"] = "[a-z]"; }},
      {"decoder is missing", [](Json& f) { f.erase("decoder"); }},
      {"the token word is neither one character nor an added token", [](Json& f) { f["model"]["vocab"].add("word", 70); }},
      {"unk_token ? is in the vocabulary", [](Json& f) { f["model"]["unk_token"] = "?"; }},
      {"surprise", [](Json& f) { f["model"]["surprise"] = 1; }},
      {"vocab is missing", [](Json& f) { f["model"].erase("vocab"); }},
      {"both have id 5", [](Json& f) { f["model"]["vocab"]["a"] = 5; }},
      {"has id -1", [](Json& f) { f["model"]["vocab"]["a"] = -1; }},
      {"post_processor", [](Json& f) { f["post_processor"] = 1; }},
  };
  for (const Hostile& each : cases) {
    Json file = parse_json(Tokenizer::characters().json(), "characters").value();
    each.break_it(file);
    const auto tokenizer = Tokenizer::from_json(write_json(file), "file");
    ASSERT_FALSE(tokenizer.ok()) << each.what;
    EXPECT_NE(tokenizer.error().message.find(each.what), std::string::npos) << tokenizer.error().message;
  }
}

TEST(Tokenizer, ARegexThatBacktracksWithoutEndIsAnErrorNotAHang) {
  Json file = golden_json();
  file["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "(?:a|a|aa)+$[bc]";
  const auto tokenizer = Tokenizer::from_json(write_json(file), "slow.json");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const auto ids = tokenizer->encode(std::string(5000, 'a'));
  ASSERT_FALSE(ids.ok());
  EXPECT_EQ(ids.error().kind, ErrorKind::input);
}

TEST(Tokenizer, OldMergesAndIgnoreMergesAreRead) {
  Json file = golden_json();
  Json old = Json::array({"#version: 0.2"});
  for (const Json& merge : file["model"]["merges"]) old.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  file["model"]["merges"] = old;
  const Tokenizer same = Tokenizer::from_json(write_json(file), "old").value();
  EXPECT_EQ(*same.encode("Hello, world!"), *golden_tokenizer().encode("Hello, world!"));
  file["model"]["merges"] = Json::array();
  file["model"]["ignore_merges"] = true;
  const Tokenizer whole = Tokenizer::from_json(write_json(file), "whole").value();
  EXPECT_EQ(*whole.encode(" daughter"), std::vector<std::int32_t>{*whole.token_id("Ġdaughter")});
  EXPECT_EQ(whole.encode(" daughterx")->size(), 10u);
}

}  // namespace
}  // namespace godwit::text
