#include "serve/answering.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "serve/sse.h"

namespace godwit::serve {

Answering::Answering(Setting setting, const ServedModel& model, EngineProcess& engine, Figures& figures,
                     std::function<void(Answering&)> done)
    : setting_(std::move(setting)),
      model_(model),
      engine_(engine),
      figures_(figures),
      done_(std::move(done)),
      written_at_(setting_.arrived) {}

void Answering::start(std::vector<EngineRequest> requests) {
  choices_.resize(requests.size());
  last_token_.resize(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    tickets_.emplace(engine_.submit(std::move(requests[i]), shared_from_this()), i);
  }
  setting_.exchange->on_gone([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->close("cancelled");
  });
}

void Answering::tick(double now) {
  if (closed_) return;
  if (!any_token_ && now - setting_.arrived > queue_s_max) {
    return fail({503, fmt::format("the answer had not begun after {} s", queue_s_max), "", "queue_timeout", 30}, "timed_out");
  }
  if (now - written_at_ < keep_alive_s) return;
  open();
  write(setting_.generation.stream ? sse_keep_alive : "\n", now);
}

void Answering::open() {
  if (opened_) return;
  opened_ = true;
  HttpResponse head;
  head.headers = setting_.headers;
  if (setting_.generation.stream) {
    head.content_type = "text/event-stream";
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx would hold events back
  }
  ++figures_.statuses[head.status];
  setting_.exchange->begin(head);
  if (!setting_.generation.stream) return;
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    if (const std::string json = setting_.form->opening(i); !json.empty()) write(sse_event(json), monotonic_seconds());
  }
}

void Answering::write(std::string_view bytes, double now) {
  written_at_ = now;
  setting_.exchange->write(bytes);
}

void Answering::accepted(std::uint64_t) {
  if (closed_ || accepted_) return;
  accepted_ = true;
  figures_.accepted_s.observe(monotonic_seconds() - setting_.arrived);
  if (setting_.generation.stream) open();
}

void Answering::refused(std::uint64_t ticket, const std::string& message) {
  if (closed_) return;
  tickets_.erase(ticket);
  fail({400, message}, "refused");
}

void Answering::event(const infer::ServedEvent& event) {
  const auto found = tickets_.find(event.ticket);
  if (closed_ || found == tickets_.end()) return;
  const std::size_t index = found->second;
  Choice& choice = choices_[index];
  const double now = monotonic_seconds();
  if (event.prompt) return tell(index, event, now);
  if (!any_token_) figures_.first_token_s.observe(now - setting_.arrived);
  any_token_ = true;
  if (last_token_[index] > 0) {
    figures_.inter_token_s.observe(now - last_token_[index]);
  } else {
    figures_.queue_s.observe(event.queued_s);
    figures_.cached.observe(static_cast<double>(event.cached));
  }
  last_token_[index] = now;

  ++choice.tokens;
  choice.reasoning_tokens += event.thinking ? 1 : 0;
  choice.cached = std::max(choice.cached, event.cached);
  choice.finish = event.finish;
  if (!setting_.generation.stream) (event.thinking ? choice.reasoning : choice.text) += shown_text(event, model_);
  tell(index, event, now);
  if (!event.finish) return;
  tickets_.erase(found);
  if (tickets_.empty()) finish();
}

void Answering::tell(std::size_t index, const infer::ServedEvent& event, double now) {
  if (setting_.generation.stream) {
    open();
    if (const std::string json = setting_.form->piece(index, event); !json.empty()) write(sse_event(json), now);
  } else if (setting_.generation.logprobs || setting_.generation.return_token_ids) {
    choices_[index].told.push_back(event);
  }
}

void Answering::lost(std::uint64_t ticket, const std::string& why) {
  if (closed_) return;
  tickets_.erase(ticket);
  fail({503, fmt::format("the engine failed and could not go on: {}", why), "", "engine_failed", 5}, "failed");
}

Usage Answering::usage() const {
  Usage usage{.prompt = setting_.prompt_tokens};
  for (std::size_t i = 0; i < choices_.size(); ++i) {
    // A prompt is counted once, as its first choice found it.
    if (i % static_cast<std::size_t>(setting_.generation.n) == 0) usage.cached += choices_[i].cached;
    usage.answer += choices_[i].tokens;
    usage.reasoning += choices_[i].reasoning_tokens;
  }
  return usage;
}

void Answering::finish() {
  figures_.request_s.observe(monotonic_seconds() - setting_.arrived);
  if (setting_.generation.stream) {
    if (setting_.generation.include_usage) setting_.exchange->write(sse_event(setting_.form->closing(usage())));
    setting_.exchange->write(sse_done);
    setting_.exchange->end();
  } else {
    const std::string body = setting_.form->whole(choices_, usage());
    if (opened_) {
      setting_.exchange->write(body);
      setting_.exchange->end();
    } else {
      ++figures_.statuses[200];
      setting_.exchange->respond({.body = body, .headers = setting_.headers});
    }
  }
  close("finished");
}

void Answering::fail(const ApiError& error, const char* outcome) {
  if (closed_) return;
  if (!opened_) {
    ++figures_.statuses[error.status];
    HttpResponse response{.status = error.status, .body = error.body(), .headers = setting_.headers};
    if (error.retry_after_s > 0) response.headers.emplace_back("Retry-After", std::to_string(error.retry_after_s));
    setting_.exchange->respond(response);
  } else {
    setting_.exchange->write(setting_.generation.stream ? sse_event(error.body()) : error.body());
    if (setting_.generation.stream) setting_.exchange->write(sse_done);
    setting_.exchange->end();
  }
  close(outcome);
}

void Answering::close(const char* outcome) {
  if (closed_) return;
  closed_ = true;
  ++figures_.outcomes[outcome];
  const auto self = shared_from_this();  // the engine may hold the only other reference
  for (const auto& [ticket, choice] : std::exchange(tickets_, {})) engine_.cancel(ticket);
  done_(*this);
}

}  // namespace godwit::serve
