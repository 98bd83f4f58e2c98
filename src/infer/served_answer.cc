#include "infer/served_answer.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace godwit::infer {

Result<void> check(const ServedRequest& request, const model::Model& model, std::int64_t context,
                   const std::optional<text::Tokenizer>& tokenizer, std::string_view name) {
  TRY(check(request.request, model, context, tokenizer.has_value(), name));
  const auto known = [&](std::int32_t id) { return id >= 0 && id < model.vocab_size(); };
  for (const auto& [option, value] :
       {std::pair{"frequency_penalty", request.frequency_penalty}, {"presence_penalty", request.presence_penalty}}) {
    if (!std::isfinite(static_cast<float>(value))) return input_error("{}: {} is {}; it must be a finite number", name, option, value);
  }
  for (const auto& [id, bias] : request.logit_bias) {
    if (!known(id)) return input_error("{}: logit_bias names id {}, outside the model's vocabulary of {}", name, id, model.vocab_size());
    if (!std::isfinite(bias)) return input_error("{}: the logit_bias of id {} is {}; it must be a finite number", name, id, bias);
  }
  if (request.top_logprobs < 0 || request.top_logprobs > model.vocab_size()) {
    return input_error("{}: top_logprobs is {}; it must lie in 0 … {}", name, request.top_logprobs, model.vocab_size());
  }
  if (request.tell_prompt_from && *request.tell_prompt_from < 1) {
    return input_error("{}: the prompt can be told from its second id on, not from id {}", name, *request.tell_prompt_from);
  }
  if (request.think_end && !known(*request.think_end)) {
    return input_error("{}: think_end is id {}, outside the model's vocabulary of {}", name, *request.think_end, model.vocab_size());
  }
  for (const std::int32_t id : request.given) {
    if (!known(id))
      return input_error("{}: the answer's beginning has id {}, outside the model's vocabulary of {}", name, id, model.vocab_size());
  }
  if (request.grammar && !request.request.eos) return input_error("{}: a grammar needs an end token, or no answer could end", name);
  const ServedAnswer answer(request, tokenizer ? &*tokenizer : nullptr);
  if (answer.refused()) return input_error("{}: the answer's beginning of {} ids is not of its grammar", name, request.given.size());
  if (answer.ended()) {
    return input_error("{}: the answer's beginning of {} ids is a whole answer; nothing is left to give", name, request.given.size());
  }
  return {};
}

ServedAnswer::ServedAnswer(const ServedRequest& request, const text::Tokenizer* tokenizer)
    : request_(request), tokenizer_(tokenizer), thinking_(request.think_end.has_value()) {
  if (tokenizer_ != nullptr) text_.emplace(*tokenizer_, thinking_ ? std::vector<std::string>() : request_.request.stop);
  if (request_.grammar) grammar_ = request_.grammar->begin();
  for (const std::int32_t id : request_.given) {
    if (ended_ || refused_) break;
    ended_ = accept(id).finish.has_value();
  }
}

ServedEvent ServedAnswer::take(std::span<const float> logits, float lse) {
  const std::int32_t id = guess(logits, 0);
  std::vector<TopLogprob> top = likeliest(logits, lse);
  ServedEvent event = accept(id);
  CHECK(!refused_, "the grammar allowed id {} and does not take it", id);
  event.logprob = logits[static_cast<std::size_t>(id)] - lse;
  event.top = std::move(top);
  return event;
}

ServedEvent ServedAnswer::tell(std::int32_t id, std::span<const float> logits, float lse) const {
  ServedEvent event;
  event.id = id;
  event.logprob = logits[static_cast<std::size_t>(id)] - lse;
  event.top = likeliest(logits, lse);
  event.prompt = true;
  return event;
}

std::int32_t ServedAnswer::draw_from(std::span<const float> logits, std::int64_t ahead) const {
  const Request& r = request_.request;
  return choose(logits, r.sampling, draw(r.seed, r.sample, static_cast<std::uint64_t>(generated_ + ahead)));
}

bool ServedAnswer::plain() const {
  return request_.logit_bias.empty() && (thinking_ || !grammar_) &&
         (counts_.empty() || (request_.frequency_penalty == 0 && request_.presence_penalty == 0));
}

std::int32_t ServedAnswer::guess(std::span<const float> logits, std::int64_t ahead) const {
  if (plain() || ahead > 0) return draw_from(logits, ahead);
  std::vector<float> changed(logits.begin(), logits.end());
  for (const auto& [id, bias] : request_.logit_bias) changed[static_cast<std::size_t>(id)] += bias;
  const auto frequency = static_cast<float>(request_.frequency_penalty);
  const auto presence = static_cast<float>(request_.presence_penalty);
  for (const auto& [id, count] : counts_) {
    float& logit = changed[static_cast<std::size_t>(id)];
    logit -= frequency * static_cast<float>(count);
    logit -= presence;
  }
  if (grammar_ && !thinking_) {
    std::vector<std::uint8_t> allowed(logits.size(), 0);
    grammar_->allowed(allowed);
    for (std::size_t i = 0; i < changed.size(); ++i) {
      if (allowed[i] == 0) changed[i] = -std::numeric_limits<float>::infinity();
    }
  }
  return draw_from(changed, 0);
}

std::vector<TopLogprob> ServedAnswer::likeliest(std::span<const float> logits, float lse) const {
  if (request_.top_logprobs == 0) return {};
  std::vector<std::int32_t> ids(logits.size());
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i);
  const auto logit = [&](std::int32_t id) { return logits[static_cast<std::size_t>(id)]; };
  const auto count = static_cast<std::size_t>(request_.top_logprobs);
  std::ranges::partial_sort(ids, ids.begin() + request_.top_logprobs,
                            [&](std::int32_t a, std::int32_t b) { return logit(a) > logit(b) || (logit(a) == logit(b) && a < b); });
  std::vector<TopLogprob> top;
  for (std::size_t i = 0; i < count; ++i) top.push_back({ids[i], logit(ids[i]) - lse});
  return top;
}

ServedEvent ServedAnswer::accept(std::int32_t id) {
  const Request& r = request_.request;
  ServedEvent event;
  event.id = id;
  event.thinking = thinking_;
  ++generated_;
  bool stopped = false;
  if (text_) {
    AnswerText::Piece piece = text_->push(id);
    event.text = std::move(piece.text);
    stopped = piece.stopped;
  }
  if (thinking_ && id == request_.think_end) {
    if (text_) {
      event.text += text_->finish();
      text_.emplace(*tokenizer_, r.stop);
    }
    thinking_ = false;
  } else if (!thinking_) {
    ++counts_[id];
    if (grammar_ && id != r.eos && !grammar_->push(id)) refused_ = true;
  }
  if (stopped) {
    event.finish = Finish::stop;
  } else if (r.eos == id) {
    event.finish = Finish::eos;
  } else if (generated_ == r.max_tokens) {
    event.finish = Finish::length;
  }
  if (event.finish && text_ && !stopped) event.text += text_->finish();
  return event;
}

}  // namespace godwit::infer
