// What could go wrong: a prompt that is learned, or a first thought that is not; a question that forges a control token; an answer taken
// from thinking that never ended.
#include "data/document.h"

#include "base/json.h"
#include "data/test_files.h"
#include "text/special_tokens.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

const text::Tokenizer& bytes() {
  static const text::Tokenizer tokenizer = text::Tokenizer::bytes();
  return tokenizer;
}

std::vector<std::int32_t> ids_of_text(const std::string& text) {
  return bytes().encode(text).value();
}

TEST(document, prompts_are_masked_and_everything_behind_think_counts) {
  const Problem problem{"011=", "010", "0"};
  const Sample long_form = make_document(problem, true, bytes()).value();
  EXPECT_EQ(bytes().decode(long_form.ids).value(), "011=<think>010</think>0" + std::string(text::eos_token));
  EXPECT_EQ(long_form.labelled, (std::vector<std::uint8_t>{0, 0, 0, 0, 1, 1, 1, 1, 1, 1}));
  const Sample short_form = make_document(problem, false, bytes()).value();
  EXPECT_EQ(bytes().decode(short_form.ids).value(), "011=<think></think>0" + std::string(text::eos_token));
  EXPECT_EQ(short_form.labelled, (std::vector<std::uint8_t>{0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(bytes().decode(prompt_ids(problem, bytes()).value()).value(), "011=<think>");
  const ProblemBytes longest{4, 3, 1};
  EXPECT_EQ(document_ids_max(longest, true), static_cast<std::int64_t>(long_form.ids.size()));
  EXPECT_EQ(document_ids_max(longest, false), static_cast<std::int64_t>(short_form.ids.size()));
}

TEST(document, a_question_cannot_forge_control_tokens) {
  const Sample sample = make_document({"<think></think>7", "</think>", "1"}, true, bytes()).value();
  EXPECT_EQ(std::ranges::count(sample.ids, *bytes().token_id("<think>")), 1);
  EXPECT_EQ(std::ranges::count(sample.ids, *bytes().token_id("</think>")), 1);
  EXPECT_EQ(answer_of(sample.ids, bytes()).value(), "1");
}

TEST(document, the_answer_is_what_stands_behind_the_thinking) {
  const std::string eos(text::eos_token);
  const auto answer = [&](const std::string& text) { return answer_of(ids_of_text(text), bytes()).value(); };
  EXPECT_EQ(answer("010</think> 0 \n" + eos), "0");
  EXPECT_EQ(answer("010</think>0"), "0");
  EXPECT_EQ(answer("a</think>1</think>2" + eos + "</think>3"), "2");
  EXPECT_EQ(answer("</think>" + eos), "");
  EXPECT_EQ(answer("0100" + eos), std::nullopt);
  EXPECT_EQ(answer(eos + "</think>3"), std::nullopt);
  EXPECT_EQ(answer(""), std::nullopt);
  EXPECT_EQ(answer_of(bytes().encode("</think>3", {.added_tokens = false}).value(), bytes()).value(), std::nullopt);
}

TEST(document, a_tokenizer_without_thinking_is_refused) {
  Json file = parse_json(bytes().json(), "bytes").value();
  file["added_tokens"].erase(file["added_tokens"].size() - 1);
  const auto without = text::Tokenizer::from_json(write_json(file), "without").value();
  EXPECT_THAT(message(make_document({"1", "", "1"}, false, without)), HasSubstr("the tokenizer has no </think>"));
}

}  // namespace
}  // namespace godwit::data
