// Answers as JSON: of the chat API and of the completions API, whole or token by token.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "infer/engine.h"
#include "serve/preparation.h"
#include "serve/request_parser.h"

namespace godwit::serve {

// What every document of an answer begins with.
struct AnswerHead {
  std::string id;
  std::uint64_t number = 0;  // by chance, as the id is: what else has to differ between answers is made of it
  std::int64_t created = 0;
  std::string model;
  std::string fingerprint;
  std::uint64_t seed = 0;
};

// "{profile}.{dtype}.{decode form}.{digest}.{seed}", the profile's slash being a dash: with the request, enough to make the answer again.
[[nodiscard]] std::string fingerprint_of(const std::string& dtype, const std::string& digest, std::uint64_t seed);

struct Usage {
  std::int64_t prompt = 0, cached = 0, answer = 0, reasoning = 0;
};
[[nodiscard]] Json usage_json(const Usage& usage);

// One choice, as it grows. Log-probabilities and ids are kept only where they were asked for.
struct Choice {
  std::string text;
  std::string reasoning;
  std::vector<infer::ServedEvent> told;
  std::optional<infer::Finish> finish;
  std::int64_t tokens = 0;
  std::int64_t reasoning_tokens = 0;
  std::int64_t cached = 0;
};

// What the client sees of an event: its text, without the </think> that ends thinking.
[[nodiscard]] std::string shown_text(const infer::ServedEvent& event, const ServedModel& model);
[[nodiscard]] Json finish_json(const std::optional<infer::Finish>& finish);

// How one API writes.
class AnswerForm {
 public:
  virtual ~AnswerForm() = default;
  // The choice's first piece of a stream, before any token; empty: none.
  [[nodiscard]] virtual std::string opening(std::size_t choice) = 0;
  // A token's piece of a stream; empty: there is nothing to tell yet.
  [[nodiscard]] virtual std::string piece(std::size_t choice, const infer::ServedEvent& event) = 0;
  // The last piece, where usage was asked for.
  [[nodiscard]] virtual std::string closing(const Usage& usage) const = 0;
  [[nodiscard]] virtual std::string whole(const std::vector<Choice>& choices, const Usage& usage) const = 0;
};

// The model must outlive them. `tools`: there are some to be called, and what calls them is told as calls.
[[nodiscard]] std::unique_ptr<AnswerForm> chat_form(const ServedModel& model, AnswerHead head, const Generation& generation,
                                                    std::vector<std::int32_t> prompt, bool tools = false);
// `prompts`: what is echoed in front of the answers, or none. `prompt_ids`: of each prompt, told with return_token_ids, named with
// logprobs.
[[nodiscard]] std::unique_ptr<AnswerForm> completion_form(const ServedModel& model, AnswerHead head, const Generation& generation,
                                                          std::vector<std::string> prompts,
                                                          std::vector<std::vector<std::int32_t>> prompt_ids);

// A token for people: its bytes where they are text, special ones as the tokenizer spells them.
[[nodiscard]] std::string token_text(const ServedModel& model, std::int32_t id);
// {"id", "object", "created", "model", "system_fingerprint", "seed"}
[[nodiscard]] Json head_json(const AnswerHead& head, const char* object);
// The last chunk of a stream, which has usage and no choices.
[[nodiscard]] std::string usage_chunk(const AnswerHead& head, const char* object, const Usage& usage);
// The answer's.
[[nodiscard]] Json ids_json(const std::vector<infer::ServedEvent>& told);

}  // namespace godwit::serve
