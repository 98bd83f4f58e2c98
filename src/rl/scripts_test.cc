// What could go wrong: digits and signs count as a language; a word of another script goes unseen, or a loan word in the prompt allows a
// script.
#include "rl/scripts.h"

#include <gtest/gtest.h>

namespace godwit::rl {
namespace {

TEST(Scripts, OfLetters) {
  for (const char32_t letter : {U'A', U'z', U'é', U'ß', U'ſ', U'ạ', U'Ａ'})
    EXPECT_EQ(script_of(letter), Script::latin) << static_cast<unsigned>(letter);
  EXPECT_EQ(script_of(U'ж'), Script::cyrillic);
  EXPECT_EQ(script_of(U'λ'), Script::greek);
  EXPECT_EQ(script_of(U'ש'), Script::hebrew);
  EXPECT_EQ(script_of(U'ك'), Script::arabic);
  EXPECT_EQ(script_of(U'क'), Script::indic);
  EXPECT_EQ(script_of(U'ก'), Script::thai);
  EXPECT_EQ(script_of(U'数'), Script::han);
  EXPECT_EQ(script_of(U'の'), Script::kana);
  EXPECT_EQ(script_of(U'한'), Script::hangul);
  for (const char32_t sign : {U'0', U' ', U'=', U'×', U'÷', U'。', U'，', U'€', U'٣', U'・'})
    EXPECT_EQ(script_of(sign), Script::none) << static_cast<unsigned>(sign);
}

TEST(Scripts, TheShareOfThePromptsScript) {
  EXPECT_EQ(script_share("so x = 3", "What is 1 + 2?"), 1);
  EXPECT_EQ(script_share("数 = 3", "What is 1 + 2?"), 0);
  EXPECT_EQ(script_share("abc数", "What?"), 0.75);
  EXPECT_EQ(script_share("それは3です", "これは何ですか"), 1) << "kana and han are both the prompt's";
  EXPECT_EQ(script_share("abc", "Was heißt 数 auf Deutsch, bitte?"), 1);
  EXPECT_EQ(script_share("数", "Was heißt 数 auf Deutsch, bitte?"), 0) << "one sign of a script does not make it the prompt's";
  EXPECT_EQ(script_share("123", "What?"), 1);
  EXPECT_EQ(script_share("abc", "1+2="), 1);
  EXPECT_EQ(script_share("ab\xff", "What?"), 1) << "what is no UTF-8 is no letter";
}

}  // namespace
}  // namespace godwit::rl
