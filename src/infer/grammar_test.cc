// What could go wrong: an answer that does not fulfil its schema; one that would, refused; no way on in the middle of an answer; a schema
// that costs the server its time or its life; a keyword silently left out.
#include "infer/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <random>
#include <unordered_map>

#include "base/json.h"
#include "infer/test_schema.h"
#include "text/special_tokens.h"

namespace godwit::infer {
namespace {

using text::Tokenizer;

const Tokenizer& golden_tokenizer() {
  static const Tokenizer tokenizer = Tokenizer::load(std::filesystem::path(GODWIT_SOURCE_DIR) / "tests/golden/tokenizer").value();
  return tokenizer;
}

std::shared_ptr<const Grammar> grammar_of(const std::string& schema, const Tokenizer& tokenizer) {
  auto grammar = Grammar::json(schema, tokenizer);
  EXPECT_TRUE(grammar.ok()) << schema << ": " << (grammar.ok() ? "" : grammar.error().message);
  return grammar.ok() ? *grammar : nullptr;
}

// The text cut into tokens at random places where the vocabulary has tokens for the parts.
std::vector<std::int32_t> random_tokens(const std::string& text, const Tokenizer& tokenizer, std::mt19937& random) {
  static std::unordered_map<std::string, std::int32_t> known;
  static const void* of = nullptr;
  if (of != &tokenizer.json()) {
    known.clear();
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      if (!tokenizer.is_added(id)) known.emplace(tokenizer.token_bytes(id), id);
    }
    of = &tokenizer.json();
  }
  std::vector<std::int32_t> ids;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 1 + random() % 8;
    while (length > 1 && !known.contains(text.substr(at, length))) --length;
    ids.push_back(known.at(text.substr(at, length)));
    at += std::min(length, text.size() - at);
  }
  return ids;
}

bool follows(const Grammar& grammar, std::span<const std::int32_t> ids, const Tokenizer& tokenizer) {
  const auto state = grammar.begin();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size()));
  for (const std::int32_t id : ids) {
    state->allowed(allowed);
    const bool pushed = state->push(id);
    EXPECT_EQ(pushed, allowed[static_cast<std::size_t>(id)] == 1) << "the mask and push() differ about " << tokenizer.token(id);
    if (!pushed) return false;
  }
  return state->may_end();
}

bool accepts(const std::string& schema, const std::string& text) {
  std::mt19937 random(3);
  std::optional<bool> all;
  for (const Tokenizer& tokenizer : {golden_tokenizer(), Tokenizer::bytes()}) {
    const auto grammar = grammar_of(schema, tokenizer);
    if (grammar == nullptr) return false;
    std::vector<std::vector<std::int32_t>> spellings{tokenizer.encode(text, {.added_tokens = false}).value()};
    for (int i = 0; i < 3; ++i) spellings.push_back(random_tokens(text, tokenizer, random));
    for (const auto& ids : spellings) {
      const bool one = follows(*grammar, ids, tokenizer);
      EXPECT_EQ(all.value_or(one), one) << "tokens decide about " << text;
      all = one;
    }
  }
  return *all;
}

std::string refusal(const std::string& schema) {
  const auto grammar = Grammar::json(schema, Tokenizer::bytes());
  if (grammar.ok()) return "accepted";
  EXPECT_EQ(grammar.error().kind, ErrorKind::input);
  return grammar.error().message;
}

struct Case {
  std::string schema;
  std::vector<std::string> valid, invalid;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all{
      {R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name"],"additionalProperties":false})",
       {R"({"name":"Ann","age":7})", R"({"name":"é漢😀\n\u00e9\ud83d\ude00"})", "{\n  \"name\": \"x\",\n  \"age\": 1\n}", R"( {"name": ""})",
        "\n\n{\"name\":\"\"}"},
       {R"({"age":7,"name":"Ann"})", R"({"name":"Ann","age":7.5})", R"({})", R"({"name":"\ud83d"})", R"({"name":"\ude00"})",
        "{\"name\":\"\xC3\"}", "{\"name\":\"\xED\xA0\x80\"}", "{\"name\":\"a\nb\"}", R"({"name":"Ann"}})", R"({"name":"Ann",})",
        R"({"name":"Ann","x":1})", R"({"name":  "Ann"})", "{\n\n\"name\":\"\"}", "\n\n\n{\"name\":\"\"}", R"({"name":"Ann"} )"}},
      {R"({"type":"object"})",
       {"{}", R"({"a":[1,-2.5e-3,null,true,{"b":[]}],"":{}})", R"({"a":"\"\\\/\b\f\n\r\t"})"},
       {"[]", R"({"a":01})", R"({"a":.5})", R"({"a":1.})", R"({"a":+1})", R"({"a":"\x"})", R"({"a":nul})", R"({"a":1e400})", R"({a:1})",
        R"({"a":1,})"}},
      {R"({"type":"object","properties":{"a":{"type":"null"}},"additionalProperties":{"type":"integer"}})",
       {"{}", R"({"a":null})", R"({"b":1,"aa":2,"":3})", R"({"a":null,"ab":1})"},
       {R"({"a":1})", R"({"b":null})", R"({"b":1,"a":null})", R"({"\u0061":1})"}},
      {R"({"type":"object","required":["z"],"properties":{"y":{"type":"null"}}})",
       {R"({"z":[1]})", R"({"y":null,"z":0,"q":1})"},
       {"{}", R"({"y":null})"}},
      {R"({"type":"array","items":{"type":"boolean"},"minItems":1,"maxItems":2})",
       {"[true]", "[true,false]", "[\n  true\n]"},
       {"[]", "[true,true,true]", "[1]", "[true,]"}},
      {R"({"type":"array","prefixItems":[{"const":1},{"const":"x"}],"items":false})",
       {"[]", "[1]", R"([1,"x"])"},
       {R"(["x"])", R"([1,"x",2])"}},
      {R"({"type":"array","maxItems":0})", {"[]"}, {"[1]"}},
      {R"({"enum":["a","ab",1,null,{"z":[1,2]},"q\"\n"]})",
       {R"("a")", R"("ab")", "1", "null", R"({"z":[1,2]})", R"("q\"\n")"},
       {R"("b")", "2", "11", R"("abc")"}},
      {R"({"type":"string","enum":["a",1]})", {R"("a")"}, {"1"}},
      {R"({"type":["integer","null"]})", {"0", "-7", "null", "123456789012345678"}, {"1.0", "01", "true", "-"}},
      {R"({"type":"integer","minimum":-12,"maximum":105})",
       {"-12", "-1", "0", "9", "99", "100", "105"},
       {"-13", "106", "-100", "1000", "00"}},
      {R"({"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":100})", {"10", "99", "55"}, {"9", "100", "0", "-10"}},
      {R"({"type":"integer","minimum":0.5})", {"1", "10"}, {"0", "-1"}},
      {R"({"type":"number","minimum":0,"maximum":1})", {"0", "1", "0.5", "1.0", "0.0001", "1.00"}, {"1.01", "-0.1", "2", "10"}},
      {R"({"type":"number","exclusiveMinimum":0,"exclusiveMaximum":2.5})",
       {"0.1", "2.4", "2.49", "2", "1.5"},
       {"0", "0.0", "2.5", "2.50", "3", "2.51"}},
      {R"({"type":"number","minimum":-2.25,"exclusiveMaximum":-1})",
       {"-2.25", "-2", "-1.5", "-1.1", "-2.250"},
       {"-2.26", "-1", "-1.0", "0", "-3", "1"}},
      {R"({"type":"number"})", {"0", "-0.5", "1e5", "1E-7", "12.5e+10", "1e289"}, {"1e290", "1.e5", "--1"}},
      {R"({"type":"string","minLength":2,"maxLength":3})",
       {R"("ab")", R"("漢😀é")", R"("\n\u00e9")", R"("\ud83d\ude00x")"},
       {R"("a")", R"("abcd")", R"("")"}},
      {R"({"type":"string","pattern":"^(ab|c\\d{2,3}|[^a-z\"]-)+$"})",
       {R"("ab")", R"("c12ab")", R"("é-c123")", R"("\\-")", R"("\n-")"},
       {R"("")", R"("c1")", R"("a")", R"("x-")"}},
      {R"({"type":"string","pattern":"b+"})", {R"("abc")", R"("b")", R"("漢b")"}, {R"("ac")", R"("")"}},
      {R"({"type":"string","pattern":"^a|z$"})", {R"("az")", R"("ab")", R"("bz")"}, {R"("ba")"}},
      {R"({"type":"string","pattern":"^x*?(?:yz?){0,2}\\.\\u0041[\\w-]$","maxLength":6})",
       {R"("xy.Aa")", R"(".A-")", R"("yzy.A_")"},
       {R"("xxyzy.A_")", R"("y.B_")"}},
      {R"({"type":"string","format":"date"})",
       {R"("2024-02-29")", R"("1999-12-31")", R"("2000-02-29")"},
       {R"("2023-02-29")", R"("1900-02-29")", R"("2024-04-31")", R"("2024-13-01")"}},
      {R"({"type":"string","format":"date-time"})",
       {R"("2024-02-29T23:59:59Z")", R"("2024-01-01T00:00:00.123+05:30")"},
       {R"("2024-02-29")", R"("2024-02-29T24:00:00Z")"}},
      {R"({"type":"string","format":"uuid"})", {R"("123e4567-e89b-12d3-a456-426614174000")"}, {R"("123e4567")"}},
      {R"({"type":"string","format":"email"})", {R"("a.b@c-d.org")"}, {R"("a@b")", R"("@b.de")"}},
      {R"({"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/n"})",
       {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"},
       {R"({"v":1})", R"({"v":1,"next":{"v":2,"next":3}})"}},
      {R"({"anyOf":[{"type":"object","properties":{"k":{"const":"a"},"x":{"type":"integer"}},"required":["k","x"],"additionalProperties":false},
                    {"type":"object","properties":{"k":{"const":"ab"},"y":{"type":"null"}},"required":["k","y"],"additionalProperties":false},{"type":"integer"}]})",
       {R"({"k":"a","x":1})", R"({"k":"ab","y":null})", "5"},
       {R"({"k":"a","y":null})", R"({"k":"ab","x":1})", "5.5"}},
      {R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"}},"anyOf":[{"required":["a"]},{"required":["b"]}],"additionalProperties":false})",
       {R"({"a":1})", R"({"b":1})", R"({"a":1,"b":2})"},
       {"{}"}},
      {R"({"oneOf":[{"type":"object","properties":{"t":{"const":1}},"required":["t"],"additionalProperties":false},{"type":"object","properties":{"t":{"enum":[2,3]}},"required":["t"],"additionalProperties":false},{"type":"null"}]})",
       {R"({"t":1})", R"({"t":3})", "null"},
       {R"({"t":4})", "{}"}},
      {R"({"allOf":[{"$ref":"#/definitions/a"},{"properties":{"p":{"type":"integer","maximum":9},"q":{"type":"integer"}},"required":["q"]}],"definitions":{"a":{"type":"object","properties":{"p":{"type":"integer","minimum":5}},"required":["p"]}}})",
       {R"({"p":7,"q":1})", R"({"p":9,"q":1,"r":[]})"},
       {R"({"p":4,"q":1})", R"({"p":10,"q":1})", R"({"p":7})"}},
      {R"({"$ref":"#/$defs/s","description":"d","maxLength":1,"$defs":{"s":{"type":"string"}}})", {R"("a")"}, {R"("ab")"}},
      {R"({"type":"object","properties":{"a":{"type":"string","nullable":true},"b":{"$ref":"#/$defs/c","nullable":true}},"required":["a","b"],"additionalProperties":false,"$defs":{"c":{"type":"integer"}}})",
       {R"({"a":null,"b":null})", R"({"a":"","b":1})"},
       {R"({"a":1,"b":1})"}},
      {R"({})", {"1", "null", R"({"a":[]})", R"("")"}, {"", "nul"}},
      {R"({"type":"array","items":{"$ref":"#"}})", {"[]", "[[],[[]]]"}, {"[1]"}},
      {R"({"type":"object","properties":{"é~/":{"const":1}},"required":["é~/"],"additionalProperties":false})", {R"({"é~/":1})"}, {"{}"}},
  };
  return all;
}

TEST(Grammar, FollowsWhatFulfilsTheSchemaHoweverItIsCutIntoTokens) {
  for (const Case& c : cases()) {
    for (const std::string& text : c.valid) EXPECT_TRUE(accepts(c.schema, text)) << c.schema << "\n" << text;
    for (const std::string& text : c.invalid) EXPECT_FALSE(accepts(c.schema, text)) << c.schema << "\n" << text;
  }
}

TEST(Grammar, HoldsItsTestsOwnJudgeToTheSameCases) {
  for (const Case& c : cases()) {
    const Json schema = parse_json(c.schema, "schema").value();
    for (const std::string& text : c.valid) EXPECT_EQ(why_invalid(parse_json(text, "answer").value(), schema, schema), "") << text;
  }
}

// Through the masks at random, at last in a hurry to end.
std::string random_answer(const Grammar& grammar, const Tokenizer& tokenizer, std::mt19937& random) {
  const auto state = grammar.begin();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size()));
  std::string answer;
  for (int step = 0; step < 5000; ++step) {
    state->allowed(allowed);
    std::vector<std::int32_t> ids;
    for (std::int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
      if (allowed[static_cast<std::size_t>(id)] != 0) ids.push_back(id);
    }
    if (ids.empty()) return "no token is allowed behind " + answer;
    std::int32_t id = ids[random() % ids.size()];
    const bool hurry = step > 60 || random() % 4 == 0;
    if (hurry && allowed[static_cast<std::size_t>(*tokenizer.eos())] != 0) {
      id = *tokenizer.eos();
    } else if (hurry && random() % 4 != 0) {
      for (const char* byte : {"}", "]", "\"", "@", ".", "z", "0", ":", ","}) {
        const std::int32_t token = *tokenizer.token_id(byte);
        if (allowed[static_cast<std::size_t>(token)] == 0 || random() % 2 == 0) continue;
        id = token;
        break;
      }
    }
    EXPECT_TRUE(state->push(id));
    if (id == *tokenizer.eos()) return answer;
    answer += tokenizer.token_bytes(id);
  }
  return "no end of " + answer;
}

TEST(Grammar, EveryWayThroughTheMasksFulfilsTheSchema) {
  std::mt19937 random(11);
  int read = 0, twice = 0;
  for (const Tokenizer& tokenizer : {golden_tokenizer(), Tokenizer::bytes()}) {
    const GrammarVocabulary vocabulary(tokenizer);
    for (const Case& c : cases()) {
      const auto grammar = Grammar::json(c.schema, vocabulary).value();
      const Json schema = parse_json(c.schema, "schema").value();
      for (int i = 0; i < 25; ++i) {
        const std::string answer = random_answer(*grammar, tokenizer, random);
        const auto json = parse_json(answer, "answer");
        if (!json.ok() && json.error().message.find("appears twice") != std::string::npos) {
          ++twice;  // names that the schema does not know
          continue;
        }
        ASSERT_TRUE(json.ok()) << c.schema << "\n" << answer << "\n" << json.error().message;
        ASSERT_EQ(why_invalid(*json, schema, schema), "") << c.schema << "\n" << answer;
        ++read;
      }
    }
  }
  EXPECT_GT(read, 10 * twice);
}

TEST(Grammar, TheMaskIsWhatEveryTokenAloneWouldBe) {
  std::mt19937 random(17);
  const Tokenizer& tokenizer = golden_tokenizer();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size()) + 5);
  for (const Case& c : cases()) {
    const auto grammar = grammar_of(c.schema, tokenizer);
    const auto& text = c.valid.back();
    const auto ids = random_tokens(text, tokenizer, random);
    for (std::size_t before = 0; before <= ids.size(); before += 1 + random() % 4) {
      const auto state = grammar->begin();
      for (const std::int32_t id : std::span(ids).first(before)) ASSERT_TRUE(state->push(id));
      state->allowed(allowed);
      for (std::int32_t id = 0; id < static_cast<std::int32_t>(allowed.size()); ++id) {
        const auto alone = grammar->begin();
        for (const std::int32_t earlier : std::span(ids).first(before)) ASSERT_TRUE(alone->push(earlier));
        ASSERT_EQ(alone->push(id), allowed[static_cast<std::size_t>(id)] != 0) << c.schema << "\n" << text << "\n" << tokenizer.token(id);
      }
    }
  }
}

TEST(Grammar, ControlTokensAreNoTextOfAnswers) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto state = grammar_of(R"({"type":"string"})", tokenizer)->begin();
  EXPECT_FALSE(state->push(*tokenizer.eos()));
  ASSERT_TRUE(state->push(*tokenizer.token_id("\"")));
  for (const std::string_view control : {text::think_begin_token, text::user_token, text::bos_token, text::eos_token}) {
    EXPECT_FALSE(state->push(*tokenizer.token_id(control))) << control;
  }
  ASSERT_TRUE(state->push(*tokenizer.token_id("\"")));
  EXPECT_TRUE(state->may_end());
  EXPECT_TRUE(state->push(*tokenizer.eos()));
}

TEST(Grammar, DepthIsBoundedAndNeverADeadEnd) {
  std::string open(64, '['), deeper(65, '[');
  EXPECT_TRUE(accepts("{}", open + std::string(64, ']')));
  EXPECT_FALSE(accepts("{}", deeper + std::string(65, ']')));
  const std::string list =
      R"({"type":"object","properties":{"n":{"anyOf":[{"$ref":"#"},{"type":"null"}]}},"required":["n"],"additionalProperties":false})";
  const auto state = grammar_of(list, Tokenizer::bytes())->begin();
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto push = [&](const std::string& text) {
    for (const std::int32_t id : tokenizer.encode(text).value()) {
      if (!state->push(id)) return false;
    }
    return true;
  };
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(push("{\"n\":")) << i;
  EXPECT_FALSE(push("{"));
  EXPECT_TRUE(push("null" + std::string(64, '}')));
  EXPECT_TRUE(state->may_end());
}

TEST(Grammar, WhatItCannotHoldIsRefusedByNameAndPlace) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal(R"({"properties":{"a":{"not":{}}}})"), HasSubstr("not at /properties/a/not"));
  EXPECT_THAT(refusal(R"({"type":"array","uniqueItems":true})"), HasSubstr("uniqueItems at /uniqueItems"));
  EXPECT_THAT(refusal(R"~({"type":"string","pattern":"(?=a)"})~"), HasSubstr("pattern at /pattern"));
  EXPECT_THAT(refusal(R"~({"type":"string","pattern":"(a)\\1"})~"), HasSubstr("\\1"));
  EXPECT_THAT(refusal(R"({"type":"string","pattern":"a{1000000000}"})"), HasSubstr("repetition"));
  EXPECT_THAT(refusal(R"({"type":"string","pattern":"((a{100}){100}){100}"})"), HasSubstr("too large"));
  EXPECT_THAT(refusal(R"({"type":"string","pattern":"^(a|b)*a(a|b){20}$"})"), HasSubstr("too large"));
  EXPECT_THAT(refusal(R"({"type":"string","format":"hostname"})"), HasSubstr("hostname"));
  EXPECT_THAT(refusal(R"({"type":"array","maxItems":1000000000})"), HasSubstr("maxItems at /maxItems"));
  EXPECT_THAT(refusal(R"({"type":"string","minLength":-1})"), HasSubstr("minLength"));
  EXPECT_THAT(refusal(R"({"type":"number","minimum":0.12345678901234567})"), HasSubstr("minimum"));
  EXPECT_THAT(refusal(R"({"type":"number","multipleOf":2})"), HasSubstr("multipleOf"));
  EXPECT_THAT(refusal(R"({"type":"wizard"})"), HasSubstr("wizard"));
  EXPECT_THAT(refusal(R"({"$ref":"http://x/y"})"), HasSubstr("$ref"));
  EXPECT_THAT(refusal(R"({"$ref":"#/$defs/x"})"), HasSubstr("not there"));
  EXPECT_THAT(refusal(R"({"$ref":"#"})"), HasSubstr("leads back to itself"));
  EXPECT_THAT(refusal(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})"), HasSubstr("leads back to itself"));
  EXPECT_THAT(refusal(R"({"allOf":[{"$ref":"#"}]})"), HasSubstr("more than 64 steps"));
  EXPECT_THAT(refusal(R"({"anyOf":[]})"), HasSubstr("empty"));
  EXPECT_THAT(refusal(R"({"enum":[]})"), HasSubstr("enum"));
  EXPECT_THAT(refusal(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), HasSubstr("branches 0 and 1"));
  EXPECT_THAT(refusal(R"({"type":"object","properties":{"a":{"$ref":"#"}},"required":["a"]})"), HasSubstr("no answer can fulfil it"));
  EXPECT_THAT(refusal(R"({"type":"integer","minimum":5,"maximum":4})"), HasSubstr("no answer can fulfil it"));
  EXPECT_THAT(refusal(R"({"type":"string","enum":[1]})"), HasSubstr("no answer can fulfil it"));
  EXPECT_THAT(refusal(R"({"type":"object","required":["a"],"additionalProperties":false})"), HasSubstr("no answer can fulfil it"));
  EXPECT_THAT(refusal("[]"), HasSubstr("no schema"));
  EXPECT_THAT(refusal("{"), HasSubstr("schema"));
  const auto characters = Grammar::json("{}", Tokenizer::characters());
  ASSERT_TRUE(characters.ok());  // it has digits
  EXPECT_FALSE(Grammar::json("", Tokenizer::characters()).ok());
}

TEST(Grammar, HostileSchemasAreRefusedQuickly) {
  const auto begin = std::chrono::steady_clock::now();
  const auto nested = [](int levels) {
    std::string schema;
    for (int i = 0; i < levels; ++i) schema += R"({"items":)";
    return schema + "{}" + std::string(static_cast<std::size_t>(levels), '}');
  };
  EXPECT_NE(refusal(nested(20'000)), "accepted");
  EXPECT_EQ(refusal(nested(60)), "accepted");
  EXPECT_NE(refusal(nested(5000)), "accepted");
  // Each level doubles: allOf of two that each refer to two.
  std::string doubling = R"({"$ref":"#/$defs/d0","$defs":{)";
  for (int i = 0; i < 40; ++i) {
    doubling += fmt::format(R"("d{0}":{{"allOf":[{{"$ref":"#/$defs/d{1}"}},{{"$ref":"#/$defs/d{1}"}}]}},)", i, i + 1);
  }
  EXPECT_NE(refusal(doubling + R"("d40":{"type":"object","properties":{"a":{"type":"integer"}}}}})"), "accepted");
  // Many, each of which is dear.
  std::string patterns = R"({"prefixItems":[)";
  for (int i = 0; i < 1500; ++i) patterns += fmt::format(R"~({{"pattern":"^(a|b){{0,400}}{}$"}},)~", i);
  EXPECT_NE(refusal(patterns + "{}]}"), "accepted");
  // Either way, but soon.
  std::string product = R"({"allOf":[)";
  for (int i = 0; i < 20; ++i) product += R"({"anyOf":[{"minimum":1},{"maximum":2},{"minimum":3}]},)";
  (void)refusal(product + R"({"type":"integer"}]})");
  std::string names = R"({"properties":{)";
  for (int i = 0; i < 3000; ++i) names += fmt::format(R"("name{}":{{}},)", i);
  (void)refusal(names + R"("z":{}}})");
  std::string values = R"({"enum":[)";
  for (int i = 0; i < 6000; ++i) values += fmt::format("{},", i * 7919);
  EXPECT_EQ(refusal(values + "0]}"), "accepted");
  EXPECT_NE(refusal(values + std::string(70'000, ' ') + "0]}"), "accepted");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));  // seconds at most; it would be for ever
}

TEST(Grammar, ManyConfigurationsAreForgottenAndTheAnswerGoesOn) {
  // Lengths count, so every character is a configuration of its own: more than are remembered.
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto grammar = grammar_of(R"({"type":"string","maxLength":20000})", tokenizer);
  const auto one = grammar->begin(), other = grammar->begin();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size())), again = allowed;
  const std::int32_t quote = *tokenizer.token_id("\""), letter = *tokenizer.token_id("x");
  ASSERT_TRUE(one->push(quote));
  ASSERT_TRUE(other->push(quote));
  other->allowed(allowed);
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(one->push(letter));
    if (i % 1000 != 0) continue;
    one->allowed(again);
    ASSERT_EQ(again, allowed);
  }
  EXPECT_FALSE(one->push(letter));
  other->allowed(again);
  EXPECT_EQ(again, allowed);
  EXPECT_TRUE(one->push(quote));
  EXPECT_TRUE(one->may_end());
}

const std::vector<text::Tool> tools{
    {"get_time", "", ""},
    {"get", "", R"({"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false})"}};

bool accepts_calls(text::ChatFormat format, bool parallel, const std::string& text) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto grammar = Grammar::tool_calls(format, tools, parallel, tokenizer).value();
  return follows(*grammar, tokenizer.encode(text).value(), tokenizer);
}

TEST(Grammar, ToolCallsAreInTheFormatsOwnWords) {
  const std::string one = R"(<｜tool▁call▁begin｜>get<｜tool▁sep｜>{"city":"Bonn"}<｜tool▁call▁end｜>)";
  const std::string two = R"(<｜tool▁call▁begin｜>get_time<｜tool▁sep｜>{}<｜tool▁call▁end｜>)";
  const auto calls = [](const std::string& text) { return "<｜tool▁calls▁begin｜>" + text + "<｜tool▁calls▁end｜>"; };
  EXPECT_TRUE(accepts_calls(text::ChatFormat::v3_1, false, calls(one)));
  EXPECT_TRUE(accepts_calls(text::ChatFormat::v3_1, false, calls(two)));
  EXPECT_TRUE(accepts_calls(text::ChatFormat::v3_1, true, calls(one + two + one)));
  EXPECT_FALSE(accepts_calls(text::ChatFormat::v3_1, false, calls(one + two)));
  EXPECT_FALSE(accepts_calls(text::ChatFormat::v3_1, true, calls("")));
  EXPECT_FALSE(accepts_calls(text::ChatFormat::v3_1, true, calls(R"(<｜tool▁call▁begin｜>get<｜tool▁sep｜>{}<｜tool▁call▁end｜>)")));
  EXPECT_FALSE(accepts_calls(text::ChatFormat::v3_1, true, calls(R"(<｜tool▁call▁begin｜>got<｜tool▁sep｜>{}<｜tool▁call▁end｜>)")));
  const std::string r1 = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{\"city\":\"\"}\n```<｜tool▁call▁end｜>";
  EXPECT_TRUE(accepts_calls(text::ChatFormat::r1, true, calls(r1)));
  EXPECT_TRUE(accepts_calls(text::ChatFormat::r1, true, calls(r1 + "\n" + r1)));
  EXPECT_FALSE(accepts_calls(text::ChatFormat::r1, true, calls(r1 + r1)));
  EXPECT_FALSE(Grammar::tool_calls(text::ChatFormat::r1, {}, true, Tokenizer::bytes()).ok());
}

TEST(Grammar, ControlTokensOfCallsAreSingleIdsWhereTheVocabularyHasThem) {
  Json file = parse_json(Tokenizer::bytes().json(), "file").value();
  Json& added = file["added_tokens"];
  const std::int32_t first = Tokenizer::bytes().vocab_size();
  std::int32_t next = first;
  for (const std::string_view token : {text::tool_calls_begin_token, text::tool_call_begin_token, text::tool_separator_token,
                                       text::tool_call_end_token, text::tool_calls_end_token}) {
    Json entry = added[std::size_t{0}];
    entry["id"] = next++;
    entry["content"] = token;
    entry["special"] = false;
    added.push_back(std::move(entry));
  }
  const Tokenizer tokenizer = Tokenizer::from_json(write_json(file), "with tools").value();
  const auto grammar = Grammar::tool_calls(text::ChatFormat::v3_1, tools, false, tokenizer).value();
  const std::string text =
      R"(<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{"city":"<"}<｜tool▁call▁end｜><｜tool▁calls▁end｜>)";
  const auto ids = tokenizer.encode(text).value();
  EXPECT_EQ(ids.front(), first);
  EXPECT_TRUE(follows(*grammar, ids, tokenizer));
  EXPECT_FALSE(follows(*grammar, tokenizer.encode(text, {.added_tokens = false}).value(), tokenizer));
  const auto state = grammar->begin();
  std::vector<std::uint8_t> allowed(static_cast<std::size_t>(tokenizer.vocab_size()));
  state->allowed(allowed);
  EXPECT_EQ(std::ranges::count(allowed, 1), 1);
  EXPECT_EQ(allowed[static_cast<std::size_t>(first)], 1);
}

}  // namespace
}  // namespace godwit::infer
