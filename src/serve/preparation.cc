#include "serve/preparation.h"

#include <fmt/format.h>

#include "base/json.h"
#include "infer/answer_text.h"
#include "serve/formats.h"
#include "text/special_tokens.h"

namespace godwit::serve {

namespace {

using Fault = std::optional<ApiError>;
using Ids = std::vector<std::int32_t>;

constexpr std::int64_t completion_tokens_default = 16;  // OpenAI's

Fault check_model(const std::string& asked, const ServedModel& model) {
  if (asked.empty() || asked == model.name) return std::nullopt;
  const std::string shown = asked.substr(0, 200);
  return ApiError{404, fmt::format("the model '{}' is not served here; '{}' is", infer::readable(shown), model.name), "model",
                  "model_not_found"};
}

Fault no_tokenizer(const char* param) {
  return ApiError{400, fmt::format("{} needs a tokenizer, and the model has none; give token ids as the prompt of /v1/completions", param),
                  param};
}

Fault encode(const ServedModel& model, const std::string& text, bool add_special, const char* param, Ids& ids) {
  if (!model.tokenizer) return no_tokenizer(param);
  Result<Ids> encoded = model.tokenizer->encode(text, {.add_special = add_special});
  if (!encoded.ok()) return ApiError{400, encoded.error().message, param};
  ids = std::move(*encoded);
  return std::nullopt;
}

Fault encode_chat(const ServedModel& model, const std::vector<text::ChatMessage>& messages, const text::ChatOptions& options, Ids& ids) {
  if (!model.tokenizer) return no_tokenizer("messages");
  if (!model.chat_format) {
    return ApiError{400,
                    fmt::format("the model's chat template is {}; use /v1/completions",
                                model.tokenizer->chat_template().empty() ? "missing" : "none of DeepSeek's"),
                    "messages"};
  }
  if (model.chat_format == text::ChatFormat::r1 && !options.thinking) {
    return ApiError{400, "thinking cannot be disabled: this model's chat template always opens it", "thinking"};
  }
  const Result<std::string> rendered = text::render_chat(*model.chat_format, messages, options);
  if (!rendered.ok()) return ApiError{400, rendered.error().message, "messages"};
  return encode(model, *rendered, false, "messages", ids);
}

Fault check_ids(const Ids& ids, const ServedModel& model, const char* param) {
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= model.vocab_size) {
      return ApiError{
          400, fmt::format("{} holds the token id {}, which is outside the model's vocabulary (0 … {})", param, id, model.vocab_size - 1),
          param};
    }
  }
  return std::nullopt;
}

// What a request has beside its prompt.
Fault fill(const Generation& generation, const ServedModel& model, std::uint64_t owner, infer::ServedRequest& served) {
  for (const auto& [id, bias] : generation.logit_bias) {
    if (id >= model.vocab_size) {
      return ApiError{
          400, fmt::format("logit_bias names the token id {}, which is outside the model's vocabulary (0 … {})", id, model.vocab_size - 1),
          "logit_bias"};
    }
  }
  if (!generation.stop.empty() && !model.tokenizer) return no_tokenizer("stop");
  served.request.sampling = generation.sampling;
  served.request.stop = generation.stop;
  if (model.tokenizer && !generation.ignore_eos) served.request.eos = model.tokenizer->eos();
  served.frequency_penalty = generation.frequency_penalty;
  served.presence_penalty = generation.presence_penalty;
  served.logit_bias = generation.logit_bias;
  served.top_logprobs = generation.logprobs.value_or(0);
  served.owner = owner;
  return std::nullopt;
}

// `otherwise`: new tokens where the client does not say; what the context leaves, if it is less.
Fault fit(const Generation& generation, const ServedModel& model, std::optional<std::int64_t> otherwise, const char* param,
          infer::Request& request) {
  const auto prompt = static_cast<std::int64_t>(request.prompt.size());
  const std::int64_t room = model.context - prompt;
  if (room < 1) {
    return ApiError{400, fmt::format("the prompt has {} tokens; the context holds {}, prompt and answer together", prompt, model.context),
                    param, "context_length_exceeded"};
  }
  if (generation.max_tokens.value_or(1) > room) {
    return ApiError{400,
                    fmt::format("{} prompt tokens and max_tokens {} do not fit the context of {}; at most {} new ones do", prompt,
                                *generation.max_tokens, model.context, room),
                    "max_tokens", "context_length_exceeded"};
  }
  request.max_tokens = generation.max_tokens.value_or(std::min(otherwise.value_or(room), room));
  return std::nullopt;
}

Fault check_format(const Format& format, const ChatRequest& request, const ServedModel& model) {
  const auto grammar = compile(format, model.vocabulary);
  const char* param = format.kind == Format::Kind::tool_calls ? "tools" : "response_format";
  if (!grammar.ok()) return ApiError{400, grammar.error().message, param, "invalid_schema"};
  if (*grammar && request.generation.ignore_eos) {
    return ApiError{400, fmt::format("ignore_eos and {} cannot both be: an answer of a format has an end", param), "ignore_eos"};
  }
  return std::nullopt;
}

void add_choices(const EngineRequest& request, const Generation& generation, Preparation& preparation) {
  preparation.prompt_tokens += static_cast<std::int64_t>(request.served.request.prompt.size());
  for (std::int64_t choice = 0; choice < generation.n; ++choice) {
    preparation.requests.push_back(request);
    preparation.requests.back().served.request.seed = preparation.seed + static_cast<std::uint64_t>(choice);
  }
}

// The text that echo puts in front of an answer.
std::string echoed(const Prompt& prompt, const ServedModel& model) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  std::string bytes;
  for (const std::int32_t id : std::get<Ids>(prompt)) bytes += model.tokenizer->token_bytes(id);
  return infer::readable(bytes);
}

}  // namespace

Fault prepare(const ChatRequest& request, const ServedModel& model, std::uint64_t seed, std::uint64_t owner, Preparation& preparation) {
  const Generation& generation = request.generation;
  if (Fault fault = check_model(generation.model, model)) return fault;
  preparation.seed = generation.seed.value_or(seed);
  EngineRequest made{.served = {}, .format = request.format};
  infer::Request& inner = made.served.request;
  if (Fault fault = encode_chat(model, request.messages, {.thinking = request.thinking, .tools = request.tool_use.tools}, inner.prompt))
    return fault;
  if (Fault fault = check_ids(inner.prompt, model, "messages")) return fault;
  if (Fault fault = fill(generation, model, owner, made.served)) return fault;
  if (Fault fault = fit(generation, model, std::nullopt, "messages", inner)) return fault;
  // After a tool's message the model goes on with the answer that called it, and thinking is not opened.
  if (request.thinking && request.messages.back().role == "user") made.served.think_end = model.tokenizer->token_id(text::think_end_token);
  made.format.chat_format = *model.chat_format;
  if (Fault fault = check_format(made.format, request, model)) return fault;
  add_choices(made, generation, preparation);
  return std::nullopt;
}

Fault prepare(const CompletionRequest& request, const ServedModel& model, std::uint64_t seed, std::uint64_t owner,
              Preparation& preparation) {
  const Generation& generation = request.generation;
  if (Fault fault = check_model(generation.model, model)) return fault;
  if (request.echo && !model.tokenizer) return no_tokenizer("echo");
  preparation.seed = generation.seed.value_or(seed);
  for (const Prompt& prompt : request.prompts) {
    EngineRequest made;
    Ids& ids = made.served.request.prompt;
    if (const auto* given = std::get_if<Ids>(&prompt)) {
      ids = *given;
    } else {
      if (Fault fault = encode(model, std::get<std::string>(prompt), true, "prompt", ids)) return fault;
      if (ids.empty() && model.tokenizer->bos()) ids.push_back(*model.tokenizer->bos());
      if (ids.empty()) return ApiError{400, "prompt is empty; an answer needs at least one token to follow", "prompt"};
    }
    if (Fault fault = check_ids(ids, model, "prompt")) return fault;
    if (Fault fault = fill(generation, model, owner, made.served)) return fault;
    if (Fault fault = fit(generation, model, completion_tokens_default, "prompt", made.served.request)) return fault;
    if (request.echo) preparation.prompts.push_back(echoed(prompt, model));
    if (request.echo && generation.logprobs) made.served.tell_prompt_from = 1;
    add_choices(made, generation, preparation);
  }
  return std::nullopt;
}

Fault tokenize(const TokenizeRequest& request, const ServedModel& model, std::string& answer) {
  if (Fault fault = check_model(request.model, model)) return fault;
  Ids ids;
  const auto* messages = std::get_if<std::vector<text::ChatMessage>>(&request.content);
  if (Fault fault = messages != nullptr ? encode_chat(model, *messages, {.thinking = request.thinking}, ids)
                                        : encode(model, std::get<std::string>(request.content), request.add_special, "prompt", ids)) {
    return fault;
  }
  Json document = Json::object();
  document["tokens"] = ids;
  document["count"] = ids.size();
  document["max_model_len"] = model.context;
  answer = write_json(document);
  return std::nullopt;
}

Fault detokenize(const DetokenizeRequest& request, const ServedModel& model, std::string& answer) {
  if (Fault fault = check_model(request.model, model)) return fault;
  if (!model.tokenizer) return no_tokenizer("tokens");
  if (Fault fault = check_ids(request.tokens, model, "tokens")) return fault;
  std::string bytes;
  for (const std::int32_t id : request.tokens) bytes += model.tokenizer->token_bytes(id);
  const std::string text = infer::readable(bytes);
  Json document = Json::object();
  document["prompt"] = text;
  document["content"] = text;
  answer = write_json(document);
  return std::nullopt;
}

}  // namespace godwit::serve
