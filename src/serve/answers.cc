#include "serve/answers.h"

#include <fmt/format.h>

#include "infer/answer_text.h"
#include "text/special_tokens.h"

namespace godwit::serve {

std::string fingerprint_of(const std::string& dtype, const std::string& digest, std::uint64_t seed) {
  return fmt::format("exact-1.{}.absorbed.{}.{}", dtype, digest, seed);
}

Json usage_json(const Usage& usage) {
  Json prompt_details = Json::object();
  prompt_details.add("cached_tokens", usage.cached);
  Json answer_details = Json::object();
  answer_details.add("reasoning_tokens", usage.reasoning);
  Json json = Json::object();
  json.add("prompt_tokens", usage.prompt);
  json.add("completion_tokens", usage.answer);
  json.add("total_tokens", usage.prompt + usage.answer);
  json.add("prompt_cache_hit_tokens", usage.cached);
  json.add("prompt_cache_miss_tokens", usage.prompt - usage.cached);
  json.add("prompt_tokens_details", std::move(prompt_details));
  json.add("completion_tokens_details", std::move(answer_details));
  return json;
}

std::string shown_text(const infer::ServedEvent& event, const ServedModel& model) {
  std::string text = event.text;
  if (event.thinking && model.tokenizer && text.ends_with(text::think_end_token) &&
      model.tokenizer->token_id(text::think_end_token) == event.id) {
    text.resize(text.size() - text::think_end_token.size());
  }
  return text;
}

Json finish_json(const std::optional<infer::Finish>& finish) {
  if (!finish) return nullptr;
  return *finish == infer::Finish::length ? "length" : "stop";
}

std::string token_text(const ServedModel& model, std::int32_t id) {
  if (!model.tokenizer) return fmt::format("token_id:{}", id);
  if (model.tokenizer->is_special(id)) return std::string(model.tokenizer->token(id));
  return infer::readable(model.tokenizer->token_bytes(id));
}

Json head_json(const AnswerHead& head, const char* object) {
  Json json = Json::object();
  json.add("id", head.id);
  json.add("object", object);
  json.add("created", head.created);
  json.add("model", head.model);
  json.add("system_fingerprint", head.fingerprint);
  json.add("seed", head.seed);
  return json;
}

std::string usage_chunk(const AnswerHead& head, const char* object, const Usage& usage) {
  Json json = head_json(head, object);
  json.add("choices", Json::array());
  json.add("usage", usage_json(usage));
  return write_json(json);
}

Json ids_json(const std::vector<infer::ServedEvent>& told) {
  Json ids = Json::array();
  for (const infer::ServedEvent& event : told) {
    if (!event.prompt) ids.push_back(event.id);
  }
  return ids;
}

}  // namespace godwit::serve
