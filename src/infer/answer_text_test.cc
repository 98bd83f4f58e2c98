#include "infer/answer_text.h"

#include <gtest/gtest.h>

namespace godwit::infer {
namespace {

// Through the byte tokenizer: one id a byte.
struct Spoken {
  std::string text;
  std::vector<std::string> pieces;
  bool stopped = false;
};

Spoken speak(const std::string& bytes, std::vector<std::string> stops) {
  const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  AnswerText answer(tokenizer, std::move(stops));
  Spoken spoken;
  for (const char byte : bytes) {
    AnswerText::Piece piece = answer.push(tokenizer.encode(std::string(1, byte)).value().front());
    spoken.pieces.push_back(piece.text);
    spoken.text += piece.text;
    spoken.stopped = piece.stopped;
    if (piece.stopped) return spoken;
  }
  spoken.text += answer.finish();
  return spoken;
}

TEST(AnswerText, AStopStringIsFoundAcrossTokensAndNotShown) {
  const Spoken spoken = speak("ab\n\nUser: c", {"\n\nUser"});
  EXPECT_TRUE(spoken.stopped);
  EXPECT_EQ(spoken.text, "ab");
}

TEST(AnswerText, WhatMayBecomeAStopIsHeldBackAndComesWhenItDoesNot) {
  const Spoken spoken = speak("xaab", {"aac"});
  EXPECT_EQ(spoken.pieces, (std::vector<std::string>{"x", "", "", "aab"}));
  EXPECT_FALSE(spoken.stopped);
  EXPECT_EQ(speak("xaa", {"aac"}).text, "xaa");
  // A beginning inside a beginning: after "aab" the stop can still start at the second a.
  EXPECT_EQ(speak("aaabz", {"aab"}).text, "a");
}

TEST(AnswerText, TheFirstStopToBeCompleteCountsOfSeveralTheLongest) {
  EXPECT_EQ(speak("1abc", {"abc", "b"}).text, "1a");
  EXPECT_EQ(speak("1abc", {"c", "bc"}).text, "1a");
}

TEST(AnswerText, OneTokenGivesTheTextThatItsCharactersOneByOneWouldHave) {
  // Added tokens are many characters at once; <think> is shown, being not special.
  const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  const std::int32_t think = tokenizer.token_id("<think>").value();
  AnswerText answer(tokenizer, {"think>", "h"});
  const AnswerText::Piece piece = answer.push(think);
  EXPECT_TRUE(piece.stopped);
  EXPECT_EQ(piece.text, "<t");
}

TEST(AnswerText, CharactersComeWholeAndBrokenOnesReadable) {
  const Spoken spoken = speak("é€", {});
  EXPECT_EQ(spoken.pieces, (std::vector<std::string>{"", "é", "", "", "€"}));
  EXPECT_EQ(speak("a\xE2\x82", {}).text, "a\xEF\xBF\xBD\xEF\xBF\xBD");  // cut in the middle by the length
  EXPECT_EQ(speak("\xFFz", {}).text, "\xEF\xBF\xBDz");
  EXPECT_EQ(speak("né!", {"é"}).text, "n");
}

TEST(AnswerText, SpecialTokensAreNotShown) {
  const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  AnswerText answer(tokenizer, {});
  EXPECT_EQ(answer.push(tokenizer.encode("a").value().front()).text + answer.push(tokenizer.eos().value()).text + answer.finish(), "a");
}

TEST(AnswerText, StopStringsAreChecked) {
  EXPECT_TRUE(check_stop_strings({"é", "x"}).ok());
  EXPECT_FALSE(check_stop_strings({""}).ok());
  EXPECT_FALSE(check_stop_strings({"\xC3"}).ok());
}

}  // namespace
}  // namespace godwit::infer
