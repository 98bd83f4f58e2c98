// The bodies of requests: JSON text → a request, or what is wrong with it. Pure functions; they know of no model.
//
// Limits: 64 levels deep, no key twice, UTF-8 without lone surrogates (base/json.h), the bounds below. What is not understood is refused,
// never ignored.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "infer/sampler.h"
#include "serve/api_error.h"
#include "serve/tool_parameters.h"
#include "text/chat.h"

namespace godwit::serve {

inline constexpr std::int64_t choices_max = 64;
inline constexpr std::int64_t top_logprobs_max = 20;
inline constexpr std::size_t stops_max = 16;
inline constexpr std::size_t stop_bytes_max = 1024;
inline constexpr std::size_t prompts_max = 64;

// What both ways to ask for an answer take.
struct Generation {
  std::string model;  // empty: not given
  infer::Sampling sampling{.temperature = 1};
  double frequency_penalty = 0;
  double presence_penalty = 0;
  std::vector<std::pair<std::int32_t, float>> logit_bias;
  std::vector<std::string> stop;
  std::optional<std::int64_t> max_tokens;
  std::optional<std::uint64_t> seed;
  std::int64_t n = 1;
  bool stream = false;
  bool include_usage = false;
  std::optional<std::int64_t> logprobs;  // how many of the likeliest to tell with every token; nothing: no log-probabilities
  bool ignore_eos = false;
  bool return_token_ids = false;
  std::string user;
};

// What an answer must look like.
struct Format {
  enum class Kind : std::uint8_t { text, json_object, json_schema, tool_calls };
  Kind kind = Kind::text;
  std::string schema = {};  // of json_schema, as JSON
  // Of tool_calls: whose, and whether several may be made.
  std::vector<text::Tool> tools = {};
  bool parallel = true;
  text::ChatFormat chat_format = text::ChatFormat::v3_1;
};

struct ChatRequest {
  Generation generation;
  std::vector<text::ChatMessage> messages;
  bool thinking = true;
  Format format;
  ToolUse tool_use;
};

using Prompt = std::variant<std::string, std::vector<std::int32_t>>;

struct CompletionRequest {
  Generation generation;
  std::vector<Prompt> prompts;
  bool echo = false;
};

struct TokenizeRequest {
  std::string model;
  std::variant<std::string, std::vector<text::ChatMessage>> content;
  bool add_special = true;
  bool thinking = true;  // of messages
};

struct DetokenizeRequest {
  std::string model;
  std::vector<std::int32_t> tokens;
};

// Fills the request, or says what is wrong; the request is then of no use.
[[nodiscard]] std::optional<ApiError> parse_request(std::string_view body, ChatRequest& request);
[[nodiscard]] std::optional<ApiError> parse_request(std::string_view body, CompletionRequest& request);
[[nodiscard]] std::optional<ApiError> parse_request(std::string_view body, TokenizeRequest& request);
[[nodiscard]] std::optional<ApiError> parse_request(std::string_view body, DetokenizeRequest& request);

}  // namespace godwit::serve
