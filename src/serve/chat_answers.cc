// /v1/chat/completions: {"message": {"role", "content", "reasoning_content"}}, streamed as deltas of the same.
#include <utility>

#include "serve/answers.h"

namespace godwit::serve {

namespace {

class ChatForm final : public AnswerForm {
 public:
  ChatForm(const ServedModel& model, AnswerHead head, const Generation& generation, std::vector<std::int32_t> prompt)
      : model_(model),
        head_(std::move(head)),
        logprobs_(generation.logprobs.has_value()),
        ids_(generation.return_token_ids),
        usage_(generation.include_usage),
        prompt_(std::move(prompt)) {}

  std::string opening(std::size_t choice) const override {
    Json delta = Json::object();
    delta.add("role", "assistant");
    delta.add("content", "");
    delta.add("reasoning_content", nullptr);
    Json json = chunk_choice(choice, std::move(delta), nullptr, std::nullopt);
    if (ids_) json.add("prompt_token_ids", prompt_);
    return chunk(std::move(json));
  }

  std::string piece(std::size_t choice, const infer::ServedEvent& event) override {
    const std::string text = shown_text(event, model_);
    if (text.empty() && !event.finish && !logprobs_ && !ids_) return "";
    // Both are always there, as clients written for DeepSeek ask for either without looking; "" rather than null, as they add them up.
    Json delta = Json::object();
    delta.add("content", event.thinking ? std::string() : text);
    delta.add("reasoning_content", event.thinking ? Json(text) : Json());
    Json logprobs = logprobs_ ? logprobs_json({&event, 1}) : Json();
    Json json = chunk_choice(choice, std::move(delta), std::move(logprobs), event.finish);
    if (ids_) json.add("token_ids", Json::array({event.id}));
    return chunk(std::move(json));
  }

  std::string closing(const Usage& usage) const override {
    Json json = head_json(head_, "chat.completion.chunk");
    json.add("choices", Json::array());
    json.add("usage", usage_json(usage));
    return write_json(json);
  }

  std::string whole(const std::vector<Choice>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      Json message = Json::object();
      message.add("role", "assistant");
      message.add("content", choice.text);
      message.add("reasoning_content", choice.reasoning_tokens > 0 ? Json(choice.reasoning) : Json());
      Json json = Json::object();
      json.add("index", i);
      json.add("message", std::move(message));
      json.add("logprobs", logprobs_ ? logprobs_json(choice.told) : Json());
      json.add("finish_reason", finish_json(choice.finish));
      if (ids_) {
        Json ids = Json::array();
        for (const infer::ServedEvent& event : choice.told) ids.push_back(event.id);
        json.add("token_ids", std::move(ids));
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
  static Json chunk_choice(std::size_t index, Json delta, Json logprobs, std::optional<infer::Finish> finish) {
    Json json = Json::object();
    json.add("index", index);
    json.add("delta", std::move(delta));
    json.add("logprobs", std::move(logprobs));
    json.add("finish_reason", finish_json(finish));
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
};

}  // namespace

std::unique_ptr<AnswerForm> chat_form(const ServedModel& model, AnswerHead head, const Generation& generation,
                                      std::vector<std::int32_t> prompt) {
  return std::make_unique<ChatForm>(model, std::move(head), generation, std::move(prompt));
}

}  // namespace godwit::serve
