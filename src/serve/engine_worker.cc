#include "serve/engine_worker.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "serve/formats.h"
#include "serve/frames.h"

namespace godwit::serve {

namespace {

class Worker {
 public:
  Worker(infer::Engine& engine, const std::optional<infer::GrammarVocabulary>& vocabulary, int link)
      : engine_(engine), vocabulary_(vocabulary), link_(link) {}

  Result<void> run(const Ready& ready) {
    TRY(report(ready));
    while (true) {
      TRY_ASSIGN(const bool open, receive(engine_.idle()));
      if (!open) return {};
      if (engine_.idle()) continue;
      Result<std::vector<infer::ServedEvent>> events = engine_.step();
      if (!events.ok()) {
        TRY(report(Failed{events.error().message, false}));
        return events.error();
      }
      TRY(report(Stepped{std::move(*events), engine_.facts()}));
    }
  }

  Result<void> report(const Report& report) {
    const std::string bytes = frame(encode(report));
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t count = send(link_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return world_error("the server cannot be told: {}", std::strerror(errno));
      sent += static_cast<std::size_t>(count);
    }
    return {};
  }

 private:
  // Carries out whatever orders have come; with `wait`, at least one piece of one. False when the server has gone.
  Result<bool> receive(bool wait) {
    std::array<char, 64 << 10> piece;
    while (true) {
      const ssize_t count = recv(link_, piece.data(), piece.size(), wait ? 0 : MSG_DONTWAIT);
      if (count == 0) return false;
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return true;
      if (count < 0) return world_error("the server cannot be heard: {}", std::strerror(errno));
      reader_.push({piece.data(), static_cast<std::size_t>(count)});
      while (true) {
        TRY_ASSIGN(const std::optional<std::string> text, reader_.next());
        if (!text) break;
        TRY(obey(*text));
      }
      wait = false;
    }
  }

  Result<void> obey(const std::string& text) {
    TRY_ASSIGN(Order order, decode_order(text));
    if (const auto* cancel = std::get_if<Cancel>(&order)) {
      engine_.cancel(cancel->ticket);
      return {};
    }
    Submit& submit = std::get<Submit>(order);
    const Result<void> taken = submit_to_engine(submit);
    if (taken.ok()) return report(Accepted{submit.ticket});
    return report(Refused{submit.ticket, taken.error().message});
  }

  Result<void> submit_to_engine(Submit& submit) {
    TRY_ASSIGN(submit.request.served.grammar, compile(submit.request.format, vocabulary_));
    return engine_.submit(submit.ticket, std::move(submit.request.served));
  }

  infer::Engine& engine_;
  const std::optional<infer::GrammarVocabulary>& vocabulary_;
  int link_;
  FrameReader reader_;
};

}  // namespace

Result<void> work(infer::Engine& engine, const Ready& ready, const std::optional<infer::GrammarVocabulary>& vocabulary, int link) {
  return Worker(engine, vocabulary, link).run(ready);
}

void tell_failure(const Error& error, int link) {
  const std::string bytes = frame(encode(Report(Failed{error.message, error.kind == ErrorKind::input})));
  (void)send(link, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

}  // namespace godwit::serve
