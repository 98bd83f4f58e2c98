// /v1/chat/completions: {"message": {"role", "content", "reasoning_content"}}, streamed as deltas of the same.
#include <utility>

#include "serve/answers.h"
#include "text/tool_calls.h"

namespace godwit::serve {

namespace {

class ChatForm final : public AnswerForm {
 public:
  ChatForm(const ServedModel& model, AnswerHead head, const Generation& generation, std::vector<std::int32_t> prompt, bool tools)
      : model_(model),
        head_(std::move(head)),
        logprobs_(generation.logprobs.has_value()),
        ids_(generation.return_token_ids),
        usage_(generation.include_usage),
        prompt_(std::move(prompt)) {
    for (std::int64_t choice = 0; tools && choice < generation.n; ++choice) parsers_.push_back(parser_of(static_cast<std::size_t>(choice)));
  }

  std::string opening(std::size_t choice) override {
    Json delta = Json::object();
    delta.add("role", "assistant");
    delta.add("content", "");
    delta.add("reasoning_content", nullptr);
    Json json = chunk_choice(choice, std::move(delta), nullptr, nullptr);
    if (ids_) json.add("prompt_token_ids", prompt_);
    return chunk(std::move(json));
  }

  std::string piece(std::size_t choice, const infer::ServedEvent& event) override {
    Said said = event.thinking ? Said{.reasoning = shown_text(event, model_)} : say(choice, event);
    if (said.empty() && !event.finish && !logprobs_ && !ids_) return "";
    // Both are always there, as clients written for DeepSeek ask for either without looking; "" rather than null, as they add them up.
    Json delta = Json::object();
    delta.add("content", std::move(said.content));
    delta.add("reasoning_content", event.thinking ? Json(std::move(said.reasoning)) : Json());
    if (!said.calls.empty()) delta.add("tool_calls", std::move(said.calls));
    Json logprobs = logprobs_ ? logprobs_json({&event, 1}) : Json();
    const bool calls = !parsers_.empty() && parsers_[choice].calls() > 0;
    Json json = chunk_choice(choice, std::move(delta), std::move(logprobs), reason(event.finish, calls));
    if (ids_) json.add("token_ids", Json::array({event.id}));
    return chunk(std::move(json));
  }

  std::string closing(const Usage& usage) const override { return usage_chunk(head_, "chat.completion.chunk", usage); }

  std::string whole(const std::vector<Choice>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      Json message = Json::object();
      message.add("role", "assistant");
      const bool calls = add_said(i, choice.text, message);
      message.add("reasoning_content", choice.reasoning_tokens > 0 ? Json(choice.reasoning) : Json());
      Json json = Json::object();
      json.add("index", i);
      json.add("message", std::move(message));
      json.add("logprobs", logprobs_ ? logprobs_json(choice.told) : Json());
      json.add("finish_reason", reason(choice.finish, calls));
      if (ids_) {
        json.add("token_ids", ids_json(choice.told));
      }
      list.push_back(std::move(json));
    }
    Json json = head_json(head_, "chat.completion");
    json.add("choices", std::move(list));
    json.add("usage", usage_json(usage));
    if (ids_) json.add("prompt_token_ids", prompt_);
    return write_json(json);
  }

 private:
  // What a token adds.
  struct Said {
    std::string content = {};
    std::string reasoning = {};
    Json calls = Json::array();
    [[nodiscard]] bool empty() const { return content.empty() && reasoning.empty() && calls.empty(); }
  };

  text::ToolCallParser parser_of(std::size_t choice) const { return {*model_.chat_format, head_.number + choice}; }

  Said say(std::size_t choice, const infer::ServedEvent& event) {
    if (parsers_.empty()) return {.content = event.text};
    Said said;
    add(parsers_[choice].push(event.text), said);
    if (event.finish) add(parsers_[choice].finish(), said);
    return said;
  }

  static void add(const std::vector<text::ToolCallDelta>& deltas, Said& said) {
    for (const text::ToolCallDelta& delta : deltas) {
      if (delta.is_content()) {
        said.content += delta.content;
        continue;
      }
      Json function = Json::object();
      if (!delta.name.empty()) function.add("name", delta.name);
      function.add("arguments", delta.arguments);
      Json call = Json::object();
      call.add("index", delta.index);
      if (!delta.id.empty()) {
        call.add("id", delta.id);
        call.add("type", "function");
      }
      call.add("function", std::move(function));
      said.calls.push_back(std::move(call));
    }
  }

  // Content and calls of a whole message; whether there are calls.
  bool add_said(std::size_t choice, const std::string& text, Json& message) const {
    std::string content = text;
    std::vector<text::ToolCall> calls;
    if (!parsers_.empty()) {
      content.clear();
      text::ToolCallParser parser = parser_of(choice);
      std::vector<text::ToolCallDelta> deltas = parser.push(text);
      for (text::ToolCallDelta& rest : parser.finish()) deltas.push_back(std::move(rest));
      for (const text::ToolCallDelta& delta : deltas) {
        content += delta.content;
        if (delta.is_content()) continue;
        if (delta.index == calls.size()) calls.emplace_back();
        calls[delta.index].id += delta.id;
        calls[delta.index].name += delta.name;
        calls[delta.index].arguments += delta.arguments;
      }
    }
    message.add("content", content.empty() && !calls.empty() ? Json() : Json(content));
    if (calls.empty()) return false;
    Json list = Json::array();
    for (const text::ToolCall& call : calls) {
      Json function = Json::object();
      function.add("name", call.name);
      function.add("arguments", call.arguments);
      Json json = Json::object();
      json.add("id", call.id);
      json.add("type", "function");
      json.add("function", std::move(function));
      list.push_back(std::move(json));
    }
    message.add("tool_calls", std::move(list));
    return true;
  }

  static Json reason(const std::optional<infer::Finish>& finish, bool calls) {
    return finish && calls && *finish != infer::Finish::length ? Json("tool_calls") : finish_json(finish);
  }

  static Json chunk_choice(std::size_t index, Json delta, Json logprobs, Json finish_reason) {
    Json json = Json::object();
    json.add("index", index);
    json.add("delta", std::move(delta));
    json.add("logprobs", std::move(logprobs));
    json.add("finish_reason", std::move(finish_reason));
    return json;
  }

  std::string chunk(Json choice) const {
    Json json = head_json(head_, "chat.completion.chunk");
    json.add("choices", Json::array({std::move(choice)}));
    if (usage_) json.add("usage", nullptr);
    return write_json(json);
  }

  Json token_json(std::int32_t id, float logprob) const {
    Json bytes = Json::array();
    if (model_.tokenizer) {
      for (const char byte : model_.tokenizer->token_bytes(id)) bytes.push_back(static_cast<int>(static_cast<unsigned char>(byte)));
    }
    Json json = Json::object();
    json.add("token", token_text(model_, id));
    json.add("logprob", double{logprob});
    json.add("bytes", std::move(bytes));
    return json;
  }

  // Of thinking they stand apart, as in DeepSeek's API.
  Json logprobs_json(std::span<const infer::ServedEvent> events) const {
    Json content = Json::array(), reasoning = Json::array();
    for (const infer::ServedEvent& event : events) {
      Json token = token_json(event.id, event.logprob);
      Json top = Json::array();
      for (const infer::TopLogprob& each : event.top) top.push_back(token_json(each.id, each.logprob));
      token.add("top_logprobs", std::move(top));
      (event.thinking ? reasoning : content).push_back(std::move(token));
    }
    Json json = Json::object();
    json.add("content", std::move(content));
    json.add("reasoning_content", reasoning.empty() ? Json() : std::move(reasoning));
    json.add("refusal", nullptr);
    return json;
  }

  const ServedModel& model_;
  AnswerHead head_;
  bool logprobs_, ids_, usage_;
  std::vector<std::int32_t> prompt_;
  std::vector<text::ToolCallParser> parsers_;  // by choice, where there are tools
};

}  // namespace

std::unique_ptr<AnswerForm> chat_form(const ServedModel& model, AnswerHead head, const Generation& generation,
                                      std::vector<std::int32_t> prompt, bool tools) {
  return std::make_unique<ChatForm>(model, std::move(head), generation, std::move(prompt), tools);
}

}  // namespace godwit::serve
