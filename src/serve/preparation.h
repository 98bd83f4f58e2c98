// From what a client asked to what the engine is asked: prompts become ids, defaults and the model's bounds are laid in.
//
// Pure functions over the model's facts, so that they may run beside the thread that serves sockets: a long prompt takes a while.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "infer/grammar.h"
#include "serve/api_error.h"
#include "serve/request_parser.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace godwit::serve {

// What the server knows of the model it serves. Never changes once made.
struct ServedModel {
  std::string name;  // as /v1/models calls it
  std::int64_t created = 0;
  std::int64_t vocab_size = 0;
  std::int64_t context = 0;  // prompt and answer together
  std::optional<text::Tokenizer> tokenizer = {};
  std::optional<text::ChatFormat> chat_format = {};
  std::optional<infer::GrammarVocabulary> vocabulary = {};  // of the tokenizer
};

// What the engine is asked, as it can be sent to another process: the grammar as what it is compiled from.
struct EngineRequest {
  infer::ServedRequest served;  // without a grammar
  Format format;
};

struct Preparation {
  std::vector<EngineRequest> requests;  // choice c of prompt p stands at p · n + c
  std::vector<std::string> prompts;     // their texts, where they shall be echoed
  std::int64_t prompt_tokens = 0;
  std::uint64_t seed = 0;
};

// `seed` counts where the client gave none. Choice c of a prompt is drawn with seed + c: so each is what `generate` gives with that seed.
[[nodiscard]] std::optional<ApiError> prepare(const ChatRequest& request, const ServedModel& model, std::uint64_t seed, std::uint64_t owner,
                                              Preparation& preparation);
[[nodiscard]] std::optional<ApiError> prepare(const CompletionRequest& request, const ServedModel& model, std::uint64_t seed,
                                              std::uint64_t owner, Preparation& preparation);

// {"tokens", "count", "max_model_len"}
[[nodiscard]] std::optional<ApiError> tokenize(const TokenizeRequest& request, const ServedModel& model, std::string& answer);
// {"prompt", "content"}: the same text under vLLM's name and llama-server's.
[[nodiscard]] std::optional<ApiError> detokenize(const DetokenizeRequest& request, const ServedModel& model, std::string& answer);

}  // namespace godwit::serve
