#include "serve/figures.h"

#include <vector>

namespace godwit::serve {

namespace {

double real(std::uint64_t value) {
  return static_cast<double>(value);
}

}  // namespace

infer::EngineFacts Figures::engine() const {
  infer::EngineFacts sum = current_;
  sum.prompt_tokens += before_.prompt_tokens;
  sum.cached_tokens += before_.cached_tokens;
  sum.answer_tokens += before_.answer_tokens;
  sum.guessed += before_.guessed;
  sum.guessed_right += before_.guessed_right;
  sum.steps += before_.steps;
  return sum;
}

void Figures::engine_began() {
  before_ = engine();
  current_ = {};
}

void Figures::engine_stepped(const infer::EngineFacts& facts) {
  current_ = facts;
}

std::string Figures::text(const Now& now, const HttpFacts& http) const {
  const infer::EngineFacts facts = engine();
  MetricsText text;
  std::vector<MetricsText::Labelled> labelled;
  for (const auto& [outcome, count] : outcomes) labelled.push_back({outcome, count});
  text.counters("godwit_requests_total", "Answers asked for, by how they ended.", "outcome", labelled);
  labelled.clear();
  for (const auto& [status, count] : statuses) labelled.push_back({std::to_string(status), count});
  text.counters("godwit_http_responses_total", "Responses, by status.", "status", labelled);
  text.histogram("godwit_time_to_first_token_seconds", "From a request's last byte to its first token.", first_token_s);
  text.histogram("godwit_inter_token_seconds", "Between two tokens of one answer.", inter_token_s);
  text.histogram("godwit_request_seconds", "From a request's last byte to the last token of its answer.", request_s);
  text.histogram("godwit_accept_seconds", "From a request's last byte until the engine has it in its queue.", accepted_s);
  text.histogram("godwit_queue_seconds", "An answer in the engine's queue, until it was taken up.", queue_s);
  text.histogram("godwit_prompt_cached_tokens", "Tokens of an answer's prompt that were found in the cache.", cached);
  text.histogram("godwit_batch_tokens", "Tokens of answers made in one step.", batch);
  text.gauge("godwit_requests_live", "Requests under way, waiting ones among them.", real(now.live));
  text.gauge("godwit_requests_waiting", "Requests that wait in the engine's queue.", static_cast<double>(facts.waiting));
  text.gauge("godwit_requests_running", "Requests that are being answered.", static_cast<double>(facts.running));
  text.gauge("godwit_cache_pages", "Pages of the cache.", static_cast<double>(facts.pages));
  text.gauge("godwit_cache_pages_used", "Pages that running requests hold.", static_cast<double>(facts.pages_used));
  text.gauge("godwit_cache_pages_kept", "Free pages that can still be found again.", static_cast<double>(facts.pages_kept));
  text.counter("godwit_prompt_tokens_total", "Tokens of prompts.", real(facts.prompt_tokens));
  text.counter("godwit_cached_tokens_total", "Of those, found in the cache.", real(facts.cached_tokens));
  text.counter("godwit_answer_tokens_total", "Tokens of answers.", real(facts.answer_tokens));
  text.counter("godwit_guessed_tokens_total", "Tokens guessed ahead.", real(facts.guessed));
  text.counter("godwit_guessed_right_total", "Of those, what came.", real(facts.guessed_right));
  text.counter("godwit_engine_steps_total", "Steps of the engine.", real(facts.steps));
  text.gauge("godwit_engine_ready", "1: the engine can answer.", now.engine_ready ? 1 : 0);
  text.counter("godwit_engine_failures_total", "Processes of the engine that died, hung or failed.", real(now.engine_failures));
  text.counter("godwit_connections_total", "Connections accepted.", real(http.accepted));
  text.gauge("godwit_connections_open", "Connections open.", real(http.open));
  text.counter("godwit_slow_readers_total", "Connections dropped because they did not read their answer.", real(http.slow));
  text.counter("godwit_late_requests_total", "Connections dropped because their request did not come in time.", real(http.timed_out));
  text.counter("godwit_malformed_requests_total", "Requests that were not HTTP.", real(http.malformed));
  return text.text();
}

}  // namespace godwit::serve
