// One answer as it grows: chooses each token by the request's options, follows text, thinking and grammar, and knows when it ends.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "infer/answer_text.h"
#include "infer/engine.h"

namespace godwit::infer {

// An input error that begins with `name`, as check() of a Request gives; also for a beginning that is a whole answer.
[[nodiscard]] Result<void> check(const ServedRequest& request, const model::Model& model, std::int64_t context,
                                 const std::optional<text::Tokenizer>& tokenizer, std::string_view name);

class ServedAnswer {
 public:
  // Request and tokenizer, which may be null, outlive it.
  ServedAnswer(const ServedRequest& request, const text::Tokenizer* tokenizer);

  // What the answer's given beginning has come to: it ended the answer, or the grammar does not take it. Then nothing may follow.
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool refused() const { return refused_; }
  // The next token, from the logits behind the last one. The event has no ticket.
  [[nodiscard]] ServedEvent take(std::span<const float> logits, float lse);
  // An id of the prompt, from the logits in front of it.
  [[nodiscard]] ServedEvent tell(std::int32_t id, std::span<const float> logits, float lse) const;
  // What take() would choose of these logits, `ahead` tokens from now; beyond 0 without what the tokens between would change.
  [[nodiscard]] std::int32_t guess(std::span<const float> logits, std::int64_t ahead) const;
  // Tokens it may still have.
  [[nodiscard]] std::int64_t left() const { return request_.request.max_tokens - generated_; }

 private:
  [[nodiscard]] std::int32_t draw_from(std::span<const float> logits, std::int64_t ahead) const;
  // The id is the answer's next: its text, and whether it ends the answer.
  [[nodiscard]] ServedEvent accept(std::int32_t id);
  [[nodiscard]] bool plain() const;
  [[nodiscard]] std::vector<TopLogprob> likeliest(std::span<const float> logits, float lse) const;

  const ServedRequest& request_;
  const text::Tokenizer* tokenizer_;
  std::optional<AnswerText> text_;
  std::unique_ptr<Grammar::State> grammar_;
  std::map<std::int32_t, std::int64_t> counts_;  // of the ids behind the thinking
  bool thinking_ = false;
  bool ended_ = false;
  bool refused_ = false;
  std::int64_t generated_ = 0;
};

}  // namespace godwit::infer
