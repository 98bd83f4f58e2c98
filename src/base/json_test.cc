// What could go wrong: a broken document is accepted, a good one is changed (order, numbers, text), or a hostile one exhausts the stack,
// the memory or the time.
#include "base/json.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace godwit {
namespace {

std::string error_of(std::string_view text, JsonLimits limits = {}) {
  auto result = parse_json(text, "x.json", limits);
  if (result.ok()) return "accepted: " + write_json(*result);
  EXPECT_EQ(result.error().kind, ErrorKind::input);
  return result.error().message;
}

TEST(Json, KeepsOrderNumbersAndText) {
  const std::string text =
      R"({"z":1,"a":[true,false,null,-7,18446744073709551615,9223372036854775807,0.1,-0.0,1e-300,"\u00e9\n\ud83d\ude00"],"":{}})";
  auto json = parse_json(text, "x.json").value();
  EXPECT_EQ(write_json(json), R"({"z":1,"a":[true,false,null,-7,18446744073709551615,9223372036854775807,0.1,-0.0,1e-300,"é\n😀"],"":{}})");
  EXPECT_TRUE(json["a"][3].is_number_integer());
  EXPECT_TRUE(json["a"][4].is_number_unsigned());
  EXPECT_TRUE(json["z"].is_number_unsigned());
  EXPECT_TRUE(json["a"][6].is_number_float());
}

TEST(Json, ReadsScalarsAlone) {
  EXPECT_EQ(parse_json(" 12 ", "x").value(), Json(12));
  EXPECT_EQ(parse_json("\"a\"", "x").value(), Json("a"));
  EXPECT_EQ(parse_json("null", "x").value(), Json(nullptr));
  EXPECT_EQ(parse_json("-1.5e3\n", "x").value(), Json(-1500.0));
  EXPECT_EQ(parse_json("true", "x").value(), Json(true));
}

TEST(Json, IntegersBeyond64BitsBecomeDoubles) {
  EXPECT_EQ(parse_json("[1000000000000000019884624838656]", "x").value()[0], Json(1e30));
  EXPECT_EQ(parse_json("{\"a\": -18446744073709551617 }", "x").value()["a"], Json(-18446744073709551617.0));
  EXPECT_EQ(parse_json("18446744073709551616", "x").value(), Json(18446744073709551616.0));
}

TEST(Json, RefusesWhatIsNotJson) {
  for (const char* text : {"",           " ",
                           "{",          "}",
                           "[",          "[1",
                           "[1,]",       "[,1]",
                           "[1 2]",      "{\"a\"}",
                           "{\"a\":}",   "{\"a\":1,}",
                           "{a:1}",      "{'a':1}",
                           "nul",        "truee",
                           "[nulll]",    "[tru]",
                           "1 2",        "[] []",
                           "{} x",       "[1]]",
                           "{\"a\":1}}", "01",
                           "[01]",       "[-]",
                           "[1.]",       "[.5]",
                           "[+1]",       "[1e]",
                           "[1e400]",    "[NaN]",
                           "[Infinity]", "\"a",
                           "\"\\x\"",    "[\"\\ud800\"]",
                           "\"\t\"",     "[1,2",
                           "{\"a\":[1}", "[{]}",
                           "// x\n1",    "\xef\xbb\xbf{}",
                           "[\"\xff\"]", "[\"\xed\xa0\x80\"]",
                           "[-01]",      "[99999999999999999999x]",
                           "[1]\x01"}) {
    EXPECT_EQ(error_of(text).find("accepted"), std::string::npos) << text << " -> " << error_of(text);
  }
  EXPECT_NE(error_of(std::string_view("[1]\0", 4)).find("not valid"), std::string::npos);
}

TEST(Json, ErrorsSayWhere) {
  EXPECT_EQ(error_of("{\n  \"a\": 1,\n  \"b\" 2\n}").rfind("x.json:3:7: not valid JSON: ", 0), 0u)
      << error_of("{\n  \"a\": 1,\n  \"b\" 2\n}");
  EXPECT_EQ(error_of("{\n \"k\": 1,\n \"b\": {}, \"k\": 2}"), "x.json:3:11: the key \"k\" appears twice in one object");
  EXPECT_EQ(error_of("[\n[[1]]]", {.bytes_max = 100, .depth_max = 2}), "x.json:2:2: nested deeper than 2 levels");
  EXPECT_EQ(error_of("[1,2]", {.bytes_max = 4, .depth_max = 2}), "x.json: is 5 bytes of JSON; at most 4 are read here");
}

TEST(Json, DuplicateKeysAreFoundThroughEscapes) {
  EXPECT_NE(error_of(R"({"a":1,"\u0061":2})").find("appears twice"), std::string::npos);
}

TEST(Json, DepthLimitIsExact) {
  EXPECT_TRUE(parse_json(std::string(64, '[') + std::string(64, ']'), "x").ok());
  EXPECT_FALSE(parse_json(std::string(65, '[') + std::string(65, ']'), "x").ok());
  EXPECT_FALSE(parse_json(std::string(1000000, '['), "x").ok());
  auto nested = [](int levels) {
    std::string text = "1";
    for (int i = 0; i < levels; ++i) text = "{\"a\":" + text + "}";
    return text;
  };
  EXPECT_TRUE(parse_json(nested(64), "x").ok());
  EXPECT_FALSE(parse_json(nested(65), "x").ok());
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_FALSE(parse_json(objects, "x").ok());
}

TEST(Json, LargeObjectsCostLinearTime) {
  Json expected = Json::object();
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) text += fmt::format("{}\"token {}\":{}", i == 0 ? "" : ",", i, i);
  text += "}";
  auto json = parse_json(text, "x").value();  // n² would take minutes here
  EXPECT_EQ(json.size(), 200000u);
  EXPECT_EQ(write_json(json), text);
}

TEST(Json, BracesMakeObjectsOfPairsAndArraysOfTheRest) {
  const std::vector<std::string> names{"a", "b"};
  EXPECT_EQ(write_json({{"n", 1}, {"list", {1, -2, 0.5}}, {"names", names}, {"in", {{"x", nullptr}}}, {"t", true}}),
            R"({"n":1,"list":[1,-2,0.5],"names":["a","b"],"in":{"x":null},"t":true})");
  EXPECT_EQ(write_json({{"a", 1}, 2}), R"([["a",1],2])");
  EXPECT_EQ(write_json(Json::array({{"a", 1}})), R"([["a",1]])");
  EXPECT_EQ(write_json(Json::object()), "{}");
  EXPECT_EQ(write_json(Json::array()), "[]");
}

TEST(Json, MembersAreFoundAddedReplacedAndErased) {
  Json json;
  json["b"] = 1;
  json["a"]["deep"].push_back("x");
  json["b"] = std::uint64_t{18446744073709551615u};
  json.add("c", 2);
  EXPECT_EQ(write_json(json), R"({"b":18446744073709551615,"a":{"deep":["x"]},"c":2})");
  EXPECT_EQ(json.find("none"), nullptr);
  EXPECT_EQ(Json(3).find("none"), nullptr);
  EXPECT_EQ(json.value("none", 7), 7);
  EXPECT_EQ(json.value("c", 7), 2);
  json.erase("a");
  EXPECT_EQ(write_json(json), R"({"b":18446744073709551615,"c":2})");
  EXPECT_DEATH(static_cast<void>(std::as_const(json)["none"]), "member none was asked of");
  EXPECT_DEATH(static_cast<void>(json["c"].string()), "JSON of type number was asked for its string");
  EXPECT_DEATH(static_cast<void>(json.begin()), "JSON of type object was asked for its items");
}

TEST(Json, NumbersCompareByValueAndNothingElseIsEqualAcrossKinds) {
  EXPECT_EQ(Json(1), Json(1u));
  EXPECT_EQ(Json(1), Json(1.0));
  EXPECT_NE(Json(-1), Json(18446744073709551615u));
  EXPECT_NE(Json(0), Json(false));
  EXPECT_NE(Json(), Json(0));
  EXPECT_NE(Json("1"), Json(1));
  EXPECT_EQ((Json{{"a", {1, 2.0}}}), (Json{{"a", {1.0, 2u}}}));
  EXPECT_NE((Json{{"a", 1}, {"b", 2}}), (Json{{"b", 2}, {"a", 1}}));
}

TEST(Json, WritesIndentedAndEscaped) {
  EXPECT_EQ(write_json({{"a", {1, Json::array(), Json::object()}}, {"b", "\"\\/\b\f\n\r\t\x1f\x7f"}}, 2),
            "{\n  \"a\": [\n    1,\n    [],\n    {}\n  ],\n  \"b\": \"\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f\"\n}");
}

TEST(Json, WritesWhatReadsBack) {
  for (double value : {0.1, 1.0 / 3, 1e308, 5e-324, -0.0, 123456789.0}) {
    EXPECT_EQ(parse_json(write_json(Json(value)), "x").value().get<double>(), value);
  }
  EXPECT_EQ(write_json(Json(std::numeric_limits<double>::infinity())), "null");
  EXPECT_EQ(write_json(Json("\xff")), "\"\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace godwit
