// A problem as the model sees it, and the model's answer as a verifier sees it.
//
//     prompt <think> [chain] </think> answer EOS
//
// Generation begins behind <think>. The parts are encoded one by one, and what looks like a control token in their texts is plain text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/dataset.h"
#include "data/task.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace godwit::data {

// The control tokens of documents.
struct DocumentTokens {
  std::int32_t think_begin = 0, think_end = 0, eos = 0;
};
// An input error names the token the tokenizer lacks.
[[nodiscard]] Result<DocumentTokens> document_tokens(const text::Tokenizer& tokenizer);

// The ids generation begins with: the prompt and <think>.
[[nodiscard]] Result<std::vector<std::int32_t>> prompt_ids(const Problem& problem, const text::Tokenizer& tokenizer);

// The same of a model that was trained on conversations: the question as a user's, and the opening of an answer that thinks.
[[nodiscard]] Result<std::vector<std::int32_t>> chat_prompt_ids(std::string_view question, text::ChatFormat format,
                                                                const text::Tokenizer& tokenizer);

// The document, with its chain if `long_form`. Predictions of the prompt's tokens are not labelled; that of the first token behind <think>
// is, and all that follow.
[[nodiscard]] Result<Sample> make_document(const Problem& problem, bool long_form, const text::Tokenizer& tokenizer);

// No document of such problems has more ids: every token but the three control tokens stands for at least one byte.
[[nodiscard]] std::int64_t document_ids_max(const ProblemBytes& longest, bool long_form);

// The answer in what was generated behind the prompt: what stands behind the last </think> up to EOS, trimmed. Nothing where there is no
// </think>: the thinking never ended. Ids are looked at, not their text: a model that spells </think> in letters has not ended thinking.
[[nodiscard]] Result<std::optional<std::string>> answer_of(std::span<const std::int32_t> generated, const text::Tokenizer& tokenizer);

}  // namespace godwit::data
