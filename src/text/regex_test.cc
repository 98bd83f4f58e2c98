// What could go wrong: a construct that both engines accept and understand differently.
#include "text/regex.h"

#include <gtest/gtest.h>

namespace godwit::text {
namespace {

std::string first_match(std::string_view pattern, std::string_view text) {
  auto regex = Regex::compile(pattern, "test");
  EXPECT_TRUE(regex.ok()) << regex.error().message;
  RegexScratch scratch;
  Match match{};
  const MatchStatus status = regex->next({text, has_newer_characters(text)}, 0, scratch, match);
  return status == MatchStatus::found ? std::string(text.substr(match.begin, match.end - match.begin)) : "(none)";
}

TEST(Regex, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(first_match("\\s", "\u180E\u00A0"), "\u00A0");  // PCRE2's own \s takes U+180E
  EXPECT_EQ(first_match("\\h+", " \tbeef"), "beef");        // a hexadecimal digit
  EXPECT_EQ(first_match("\\v", "\n\x0B"), "\x0B");          // the vertical tab alone
  EXPECT_EQ(first_match("\\w+", "-é²"), "é²");
  EXPECT_EQ(first_match("a{,2}", "aaa"), "aa");
  EXPECT_EQ(first_match("^b", "a\nb"), "b");
  EXPECT_EQ(first_match("a$", "a\nb"), "a");
  EXPECT_EQ(first_match("\\p{Han}", "\u3001漢"), "漢");  // by script, not by script extensions
  EXPECT_EQ(first_match("[\\w-]+", "a-b"), "a-b");
  EXPECT_EQ(first_match("(?i:'S|'t)", "x's"), "'s");
  EXPECT_EQ(first_match("\\u3042", "あ"), "あ");
  EXPECT_EQ(first_match("\\p{Letter}+(?!\\S)", "ab cd."), "ab");
}

TEST(Regex, KnowsCharactersYoungerThanPcre2) {
  EXPECT_EQ(first_match("\\p{L}", "\U0002EBF0"), "\U0002EBF0");
  EXPECT_EQ(first_match("[^\\p{L}]", "\U0002EBF0!"), "!");
  EXPECT_EQ(first_match("\\P{L}", "\U0002EBF0!"), "!");
  EXPECT_EQ(first_match("\\p{N}+", "x\U00010D40"), "\U00010D40");
}

TEST(Regex, RefusesByNameWhatMayDiffer) {
  for (const char* pattern : {"(?<name>a)", "\\1",   "a{2}+",  "a{2}?",   "[a[b]]",     "[a&&b]", "[[:alpha:]]",    "\\X",      "\\R",
                              "\\b",        "(?i)a", "(?m:.)", "\\p{Cn}", "\\p{Alpha}", "\\pL",   "[\\W]",          "a**",      "(?i:ss)",
                              "(?#x)",      "[z",    "\\",     "(",       "[]a]",       "\\K",    "\\x{110000000}", "[\\P{L}]", "a{3,2}"}) {
    const auto regex = Regex::compile(pattern, "tokenizer.json: pre_tokenizer");
    ASSERT_FALSE(regex.ok()) << pattern;
    EXPECT_EQ(regex.error().kind, ErrorKind::input);
    EXPECT_NE(regex.error().message.find("tokenizer.json: pre_tokenizer"), std::string::npos);
  }
}

}  // namespace
}  // namespace godwit::text
