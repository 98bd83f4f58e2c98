// What could go wrong: an overlong form or half a character passes for text.
#include "text/utf8.h"

#include <gtest/gtest.h>

namespace godwit::text {
namespace {

TEST(Utf8, AcceptsExactlyTheValidForms) {
  EXPECT_EQ(valid_run_end("aé漢😀", 0), 10u);
  for (const char* bad : {"\x80", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xFF", "\xE6\xBC", "\xF0\x9F\x98", "\xC3"}) {
    EXPECT_EQ(character_length(bad, 0), 0u) << bad;
  }
  EXPECT_EQ(code_point("😀", 0), U'😀');
  EXPECT_EQ(code_point("\xF4\x8F\xBF\xBF", 0), char32_t{0x10FFFF});
}

TEST(Utf8, FindsTheTailThatMayYetBecomeACharacter) {
  EXPECT_EQ(incomplete_tail("a"), 0u);
  EXPECT_EQ(incomplete_tail("a\xC3"), 1u);
  EXPECT_EQ(incomplete_tail("a\xE6\xBC"), 2u);
  EXPECT_EQ(incomplete_tail("a\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_tail("a\xF0\x8F"), 0u);  // no character begins so
  EXPECT_EQ(incomplete_tail("漢"), 0u);
  EXPECT_EQ(incomplete_tail("\x80\x80\x80\x80"), 0u);
}

TEST(Utf8, AlphabetIsOneToOne) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(bytes_of_spelling(spelling_of_bytes(all)), all);
  EXPECT_EQ(spelling_of_bytes(" \n"), "ĠĊ");
  EXPECT_EQ(bytes_of_spelling("漢"), std::nullopt);
}

}  // namespace
}  // namespace godwit::text
