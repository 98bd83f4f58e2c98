#include "serve/engine_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/clock.h"
#include "base/log.h"

namespace godwit::serve {

namespace {

constexpr int link_in_child = 3;
// Often enough that every look counts for the watchdog.
constexpr double look_s = 0.2;
// What a step may take that prepares a program of a size not seen before; the watchdog allows twice that.
constexpr double longest_step_s = 10;
constexpr double pause_s_max = 30;
// Orders the engine has not read: beyond, it is not reading at all.
constexpr std::size_t unsent_bytes_max = std::size_t{1} << 30;

// Runs in the child: this program's own file anew, with nothing of the server's but the link and standard error.
int execute(int link, char* const* arguments) {
  dup2(STDERR_FILENO, STDOUT_FILENO);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  if (link == link_in_child) {
    fcntl(link, F_SETFD, 0);
  } else {
    dup2(link, link_in_child);
  }
  close_range(link_in_child + 1, ~0U, 0);
  execv("/proc/self/exe", arguments);
  return 127;
}

}  // namespace

EngineProcess::EngineProcess(Loop& loop, std::vector<std::string> arguments, Calls calls)
    : loop_(loop), arguments_(std::move(arguments)), calls_(std::move(calls)), look_timer_(loop), start_timer_(loop) {
  gaps_.add(guard::Phase::forward, longest_step_s, 1);
}

EngineProcess::~EngineProcess() {
  link_watch_.reset();
  child_watch_.reset();
  if (link_ >= 0) close(link_);
}

void EngineProcess::start() {
  launch();
}

void EngineProcess::launch() {
  const Result<void> forked = fork();
  if (forked.ok()) return;
  ++failures_in_all_;
  ++failures_in_a_row_;
  log_error("the engine's process cannot be started: {}", forked.error().message);
  if (failures_in_a_row_ >= failures_max) give_up_requests("the engine cannot be started");
  start_timer_.start(1, [this] { launch(); });
}

Result<void> EngineProcess::fork() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return world_error("a pair of sockets: {}", std::strerror(errno));
  std::vector<std::string> words = arguments_;
  words.insert(words.end(), {"--link", std::to_string(link_in_child)});
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  Result<guard::Child> child = guard::Child::fork("godwit-engine", [&] { return execute(pair[1], arguments.data()); });
  close(pair[1]);
  if (!child.ok()) {
    close(pair[0]);
    return child.error();
  }
  child_ = std::move(*child);
  link_ = pair[0];
  fcntl(link_, F_SETFL, O_NONBLOCK);
  reader_ = {};
  unsent_.clear();
  writing_ = false;
  told_.reset();
  beats_ = 0;
  watchdog_.emplace();
  link_watch_ = std::make_unique<Watch>(loop_, link_);
  child_watch_ = std::make_unique<Watch>(loop_, child_->descriptor());
  link_watch_->readable([this] { read(); });
  child_watch_->readable([this] { ended(); });
  return {};
}

std::uint64_t EngineProcess::submit(EngineRequest request, std::shared_ptr<Asker> asker) {
  const std::uint64_t ticket = next_ticket_++;
  const Live& live = live_.emplace(ticket, Live{std::move(request), std::move(asker)}).first->second;
  if (ready_) send(frame(encode(Submit{ticket, live.request})));
  return ticket;
}

void EngineProcess::cancel(std::uint64_t ticket) {
  if (live_.erase(ticket) > 0 && ready_) send(frame(encode(Cancel{ticket})));
}

void EngineProcess::read() {
  std::array<char, 64 << 10> piece;
  while (link_ >= 0) {
    const ssize_t count = recv(link_, piece.data(), piece.size(), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return link_watch_->readable([this] { read(); });
    if (count <= 0) return lose("");
    reader_.push({piece.data(), static_cast<std::size_t>(count)});
    while (link_ >= 0) {
      Result<std::optional<std::string>> text = reader_.next();
      if (text.ok() && !*text) break;
      Result<Report> report = text.ok() ? decode_report(**text) : Result<Report>(text.error());
      if (!report.ok()) return lose(report.error().message);
      take(std::move(*report));
    }
  }
}

void EngineProcess::take(Report report) {
  ++beats_;
  if (auto* ready = std::get_if<Ready>(&report)) {
    ready_ = was_ready_ = true;
    for (const std::string& each : ready->unconfined) log_warning("the engine is not confined by {}", each);
    calls_.ready(*ready);
    for (const auto& [ticket, live] : live_) send(frame(encode(Submit{ticket, live.request})));
    return look();
  }
  if (const auto* failed = std::get_if<Failed>(&report)) {
    told_ = *failed;
  } else if (const auto* accepted = std::get_if<Accepted>(&report)) {
    const auto found = live_.find(accepted->ticket);
    if (found != live_.end()) std::shared_ptr(found->second.asker)->accepted(accepted->ticket);
  } else if (const auto* refused = std::get_if<Refused>(&report)) {
    if (auto node = live_.extract(refused->ticket)) node.mapped().asker->refused(refused->ticket, refused->message);
  } else {
    take_events(std::get<Stepped>(report));
  }
}

void EngineProcess::take_events(const Stepped& stepped) {
  calls_.stepped(stepped);
  for (const infer::ServedEvent& event : stepped.events) {
    const auto found = live_.find(event.ticket);
    if (found == live_.end()) continue;  // cancelled meanwhile
    failures_in_a_row_ = 0;
    infer::ServedRequest& asked = found->second.request.served;
    if (event.prompt) {
      ++*asked.tell_prompt_from;
    } else {
      asked.given.push_back(event.id);
    }
    const std::shared_ptr<Asker> asker = found->second.asker;
    if (event.finish) live_.erase(found);
    asker->event(event);
  }
}

void EngineProcess::send(const std::string& bytes) {
  if (link_ < 0) return;
  if (unsent_.size() + bytes.size() > unsent_bytes_max) return lose("it does not read its orders");
  unsent_ += bytes;
  if (!writing_) flush();
}

void EngineProcess::flush() {
  writing_ = false;
  std::size_t sent = 0;
  while (link_ >= 0 && sent < unsent_.size()) {
    const ssize_t count = ::send(link_, unsent_.data() + sent, unsent_.size() - sent, MSG_NOSIGNAL);
    if (count >= 0) {
      sent += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      writing_ = true;
      link_watch_->writable([this] { flush(); });
      break;
    } else if (errno != EINTR) {
      break;  // it is gone, which reading will say
    }
  }
  unsent_.erase(0, sent);
}

void EngineProcess::look() {
  if (!ready_ || !child_) return;
  guard::Look seen;
  if (child_->look(seen)) {
    // The first steps prepare programs, and nothing is known yet of how long that takes.
    constexpr std::uint64_t first_beats = 32;
    const auto busy = beats_ < first_beats ? guard::Phase::preparing : guard::Phase::forward;
    const auto why = watchdog_->look(beats_, live_.empty() ? guard::Phase::idle : busy, seen, monotonic_seconds(), gaps_);
    if (why) return lose(*why);
  }
  look_timer_.start(look_s, [this] { look(); });
}

void EngineProcess::lose(std::string why) {
  if (link_ < 0) return;
  link_watch_.reset();
  close(link_);
  link_ = -1;
  ready_ = false;
  look_timer_.stop();
  lost_why_ = std::move(why);
  child_->kill();
}

void EngineProcess::ended() {
  // What it said last may still lie in the link.
  if (link_ >= 0) read();
  if (link_ >= 0) lose("");
  const std::optional<guard::Ending> ending = child_->ending();
  if (!ending) return child_watch_->readable([this] { ended(); });
  child_watch_.reset();
  child_.reset();
  const std::string why = told_ ? told_->message : !lost_why_.empty() ? lost_why_ : "it " + ending->text();
  ++failures_in_all_;
  ++failures_in_a_row_;
  if (!was_ready_ && (told_ || failures_in_a_row_ >= failures_max)) {
    return calls_.hopeless(told_ && told_->input ? input_error("{}", why) : world_error("the engine cannot be started: {}", why));
  }
  log_error("the engine failed ({}); {} requests go on in a new one", why, live_.size());
  if (failures_in_a_row_ >= failures_max) give_up_requests(why);
  const int beyond = failures_in_a_row_ - failures_max;
  start_timer_.start(beyond < 0 ? 0 : std::min(pause_s_max, std::exp2(beyond)), [this] { launch(); });
}

void EngineProcess::give_up_requests(const std::string& why) {
  const std::map<std::uint64_t, Live> lost = std::exchange(live_, {});
  for (const auto& [ticket, live] : lost) live.asker->lost(ticket, why);
}

}  // namespace godwit::serve
