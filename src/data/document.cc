#include "data/document.h"

#include <algorithm>

#include "data/answers.h"
#include "text/special_tokens.h"

namespace godwit::data {
namespace {

Result<void> append_text(std::string_view text, const text::Tokenizer& tokenizer, std::vector<std::int32_t>& ids) {
  TRY_ASSIGN(const std::vector<std::int32_t> more, tokenizer.encode(text, {.added_tokens = false}));
  ids.insert(ids.end(), more.begin(), more.end());
  return {};
}

}  // namespace

Result<DocumentTokens> document_tokens(const text::Tokenizer& tokenizer) {
  const auto begin = tokenizer.token_id(text::think_begin_token), end = tokenizer.token_id(text::think_end_token);
  if (!begin || !end) {
    return input_error("documents of problems have the thinking between {} and {}, and the tokenizer has no {}; godwit's own have both",
                       text::think_begin_token, text::think_end_token, begin ? text::think_end_token : text::think_begin_token);
  }
  if (!tokenizer.eos())
    return input_error("documents end with EOS, and the tokenizer has none; name its eos_token in tokenizer_config.json");
  return DocumentTokens{*begin, *end, *tokenizer.eos()};
}

Result<std::vector<std::int32_t>> prompt_ids(const Problem& problem, const text::Tokenizer& tokenizer) {
  TRY_ASSIGN(const DocumentTokens tokens, document_tokens(tokenizer));
  std::vector<std::int32_t> ids;
  TRY(append_text(problem.prompt, tokenizer, ids));
  ids.push_back(tokens.think_begin);
  return ids;
}

Result<std::vector<std::int32_t>> chat_prompt_ids(std::string_view question, text::ChatFormat format, const text::Tokenizer& tokenizer) {
  TRY_ASSIGN(const std::string rendered, text::render_chat(format, {{"user", std::string(question)}}));
  return tokenizer.encode(rendered);
}

Result<Sample> make_document(const Problem& problem, bool long_form, const text::Tokenizer& tokenizer) {
  TRY_ASSIGN(const DocumentTokens tokens, document_tokens(tokenizer));
  Sample sample;
  TRY_ASSIGN(sample.ids, prompt_ids(problem, tokenizer));
  const std::size_t masked = sample.ids.size() - 1;
  if (long_form) TRY(append_text(problem.chain, tokenizer, sample.ids));
  sample.ids.push_back(tokens.think_end);
  TRY(append_text(problem.truth, tokenizer, sample.ids));
  sample.ids.push_back(tokens.eos);
  sample.labelled.assign(sample.ids.size() - 1, 1);
  std::fill_n(sample.labelled.begin(), masked, std::uint8_t{0});
  return sample;
}

std::int64_t document_ids_max(const ProblemBytes& longest, bool long_form) {
  return longest.prompt + (long_form ? longest.chain : 0) + longest.truth + 3;
}

Result<std::optional<std::string>> answer_of(std::span<const std::int32_t> generated, const text::Tokenizer& tokenizer) {
  TRY_ASSIGN(const DocumentTokens tokens, document_tokens(tokenizer));
  const auto end = std::ranges::find(generated, tokens.eos);
  auto begin = end;
  while (begin != generated.begin() && *(begin - 1) != tokens.think_end) --begin;
  if (begin == generated.begin()) return std::optional<std::string>();
  TRY_ASSIGN(const std::string text, tokenizer.decode(std::vector<std::int32_t>(begin, end)));
  return std::optional(std::string(trimmed(text)));
}

}  // namespace godwit::data
