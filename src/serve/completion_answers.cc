// /v1/completions: {"text", "logprobs": {"tokens", "token_logprobs", "top_logprobs", "text_offset"}}, streamed as pieces of the same. With
// echo the prompt's tokens come first; its first one, which nothing is in front of, has null.
#include <algorithm>
#include <utility>

#include "serve/answers.h"

namespace godwit::serve {

namespace {

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

class CompletionForm final : public AnswerForm {
 public:
  CompletionForm(const ServedModel& model, AnswerHead head, const Generation& generation, std::vector<std::string> prompts,
                 std::vector<std::vector<std::int32_t>> prompt_ids)
      : model_(model),
        head_(std::move(head)),
        n_(static_cast<std::size_t>(generation.n)),
        logprobs_(generation.logprobs.has_value()),
        ids_(generation.return_token_ids),
        usage_(generation.include_usage),
        prompts_(std::move(prompts)),
        prompt_ids_(std::move(prompt_ids)),
        offsets_(prompt_ids_.size() * n_, 0) {}

  std::string opening(std::size_t choice) override {
    if (prompts_.empty() && !ids_) return "";
    // With log-probabilities the prompt's tokens but the first follow one by one.
    const bool one_by_one = logprobs_ && !prompts_.empty();
    const std::string text = one_by_one ? token_text(model_, first_id(choice)) : prompt_of(choice);
    Json json = choice_json(choice, text, one_by_one ? logprobs_json(choice, {}, offsets_[choice]) : Json(), std::nullopt);
    if (ids_) json.add("prompt_token_ids", prompt_ids_[choice / n_]);
    return chunk(std::move(json));
  }

  std::string piece(std::size_t choice, const infer::ServedEvent& event) override {
    if (event.text.empty() && !event.finish && !logprobs_ && !ids_) return "";
    Json logprobs = logprobs_ ? logprobs_json(choice, {&event, 1}, offsets_[choice]) : Json();
    Json json = choice_json(choice, event.prompt ? token_text(model_, event.id) : event.text, std::move(logprobs), event.finish);
    if (ids_ && !event.prompt) json.add("token_ids", Json::array({event.id}));
    return chunk(std::move(json));
  }

  std::string closing(const Usage& usage) const override { return usage_chunk(head_, "text_completion", usage); }

  std::string whole(const std::vector<Choice>& choices, const Usage& usage) const override {
    Json list = Json::array();
    for (std::size_t i = 0; i < choices.size(); ++i) {
      const Choice& choice = choices[i];
      std::size_t offset = 0;
      Json logprobs = logprobs_ ? logprobs_json(i, choice.told, offset) : Json();
      Json json = choice_json(i, prompt_of(i) + choice.text, std::move(logprobs), choice.finish);
      if (ids_) {
        json.add("token_ids", ids_json(choice.told));
        json.add("prompt_token_ids", prompt_ids_[i / n_]);
      }
      list.push_back(std::move(json));
    }
    Json json = head_json(head_, "text_completion");
    json.add("choices", std::move(list));
    json.add("usage", usage_json(usage));
    return write_json(json);
  }

 private:
  std::int32_t first_id(std::size_t choice) const { return prompt_ids_[choice / n_].front(); }
  std::string prompt_of(std::size_t choice) const { return prompts_.empty() ? std::string() : prompts_[choice / n_]; }

  static Json choice_json(std::size_t index, const std::string& text, Json logprobs, std::optional<infer::Finish> finish) {
    Json json = Json::object();
    json.add("index", index);
    json.add("text", text);
    json.add("logprobs", std::move(logprobs));
    json.add("finish_reason", finish_json(finish));
    return json;
  }

  std::string chunk(Json choice) const {
    Json json = head_json(head_, "text_completion");
    json.add("choices", Json::array({std::move(choice)}));
    if (usage_) json.add("usage", nullptr);
    return write_json(json);
  }

  // `offset` counts the characters of the tokens before, and goes on. At 0 an echoed prompt begins.
  Json logprobs_json(std::size_t choice, std::span<const infer::ServedEvent> events, std::size_t& offset) const {
    Json tokens = Json::array(), values = Json::array(), tops = Json::array(), offsets = Json::array();
    const auto add = [&](std::int32_t id) {
      const std::string text = token_text(model_, id);
      offsets.push_back(offset);
      offset += characters(text);
      tokens.push_back(text);
    };
    if (offset == 0 && !prompts_.empty()) {
      add(first_id(choice));
      values.push_back(nullptr);
      tops.push_back(nullptr);
    }
    for (const infer::ServedEvent& event : events) {
      add(event.id);
      values.push_back(double{event.logprob});
      // By name: of tokens that read alike (parts of characters) the likeliest is told.
      Json top = Json::object();
      for (const infer::TopLogprob& each : event.top) {
        std::string name = token_text(model_, each.id);
        if (!top.contains(name)) top.add(std::move(name), double{each.logprob});
      }
      tops.push_back(std::move(top));
    }
    Json json = Json::object();
    json.add("tokens", std::move(tokens));
    json.add("token_logprobs", std::move(values));
    json.add("top_logprobs", std::move(tops));
    json.add("text_offset", std::move(offsets));
    return json;
  }

  const ServedModel& model_;
  AnswerHead head_;
  std::size_t n_;
  bool logprobs_, ids_, usage_;
  std::vector<std::string> prompts_;
  std::vector<std::vector<std::int32_t>> prompt_ids_;
  std::vector<std::size_t> offsets_;  // by choice: where a stream's next token begins
};

}  // namespace

std::unique_ptr<AnswerForm> completion_form(const ServedModel& model, AnswerHead head, const Generation& generation,
                                            std::vector<std::string> prompts, std::vector<std::vector<std::int32_t>> prompt_ids) {
  return std::make_unique<CompletionForm>(model, std::move(head), generation, std::move(prompts), std::move(prompt_ids));
}

}  // namespace godwit::serve
