#include "store/append_later.h"

#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"

namespace godwit::store {
namespace {

using Clock = std::chrono::steady_clock;

struct Item {
  std::string line;
  bool replaces = false;
  Clock::time_point since;
};

// The file as far as it is known to be durable. Belongs to the thread.
struct Written {
  AppendFile file;
  std::uint64_t bytes = 0;
  std::string last_line;
  bool known = true;  // nothing lies behind `bytes`
};

// What a foreign writer leaves, as against the rubbish of a disk that failed.
bool is_object(std::string_view line) {
  return line.starts_with('{') && line.ends_with("}\n");
}

// Opens the file again and cuts it back to what is durable. Kind differs: somebody else wrote there.
Result<void> recover(Written& written, const std::vector<Item>& pending) {
  TRY(written.file.reopen());
  const std::string name = written.file.path().string();
  const std::uint64_t size = written.file.size();
  if (size < written.bytes) return differs_error("{}: has {} bytes where {} were durable", name, size, written.bytes);
  TRY_ASSIGN(const std::string text, written.file.read_from(written.bytes - written.last_line.size()));
  if (!text.starts_with(written.last_line)) {
    return differs_error("{}: the line that ends at byte {} was changed after it was durable: it was {}", name, written.bytes,
                         written.last_line.substr(0, written.last_line.find('\n')));
  }
  std::string_view behind = std::string_view(text).substr(written.last_line.size());
  // Where lines replace others, those before may lie here as well.
  const bool replaces = std::any_of(pending.begin(), pending.end(), [](const Item& item) { return item.replaces; });
  for (std::size_t i = 0; i <= pending.size() && !replaces; ++i) {
    const std::string_view line = behind.substr(0, behind.find('\n') + 1);
    const std::string_view expected = i == pending.size() ? std::string_view() : pending[i].line;
    if (is_object(line) && line != expected) {
      return differs_error("{}: the line at byte {} is not the one that was written: on disk is {}, and it should be {}", name,
                           size - behind.size(), line.substr(0, line.size() - 1),
                           expected.empty() ? "the end" : expected.substr(0, expected.size() - 1));
    }
    if (line != expected) break;
    behind.remove_prefix(line.size());
  }
  if (size > written.bytes) TRY(written.file.truncate(written.bytes));
  written.known = true;
  return {};
}

// Puts the items at the end and makes them durable, all at once.
Result<void> write(Written& written, const std::vector<Item>& pending) {
  if (!written.known) TRY(recover(written, pending));
  TRY(written.file.check_unchanged());
  written.known = false;
  std::string text, last_line = written.last_line;
  std::uint64_t begin = written.bytes;
  for (const Item& item : pending) {
    if (item.replaces && text.empty()) {
      begin -= last_line.size();
    } else if (item.replaces) {
      text.resize(text.size() - last_line.size());
    }
    text += item.line;
    last_line = item.line;
  }
  if (begin != written.bytes) {
    // First what is known, then the deed: after an error the line may be cut off or not.
    written.bytes = begin;
    written.last_line.clear();
    TRY(written.file.truncate(begin));
  }
  TRY(written.file.append(text));
  TRY(written.file.sync());
  written.bytes += text.size();
  written.last_line = std::move(last_line);
  written.known = true;
  return {};
}

}  // namespace

struct AppendLater::Shared {
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  std::vector<Item> waiting;  // not yet taken by the thread
  std::uint64_t posted = 0;
  std::uint64_t durable = 0;
  std::optional<Clock::time_point> since;  // of the oldest line that is not durable
  std::optional<std::string> error;        // of the last try
  std::optional<Error> fatal;
  std::optional<Clock::time_point> close_by;
  bool ended = false;
  Patience patience;
  std::string name;
  int event = -1;

  ~Shared() { ::close(event); }
  void tell() {
    changed.notify_all();
    const std::uint64_t one = 1;
    static_cast<void>(!::write(event, &one, sizeof one));  // it fails only where it is readable already
  }
  void run(Written written);
};

void AppendLater::Shared::run(Written written) {
  std::vector<Item> pending;
  std::chrono::milliseconds pause_now = patience.pause_min;
  std::unique_lock lock(mutex);
  while (!fatal) {
    if (pending.empty()) changed.wait(lock, [&] { return !waiting.empty() || close_by; });
    if (pending.empty() && waiting.empty()) break;  // all is durable, and it is over
    pending.insert(pending.end(), std::make_move_iterator(waiting.begin()), std::make_move_iterator(waiting.end()));
    waiting.clear();
    since = pending.front().since;
    lock.unlock();
    const auto done = write(written, pending);
    lock.lock();
    if (done.ok()) {
      durable += pending.size();
      pending.clear();
      since = waiting.empty() ? std::nullopt : std::optional(waiting.front().since);
      error.reset();
      pause_now = patience.pause_min;
      tell();
      continue;
    }
    if (done.error().kind == ErrorKind::differs) {
      fatal = done.error();
      break;
    }
    if (error != done.error().message) {
      error = done.error().message;
      tell();
    }
    if (close_by && Clock::now() >= *close_by) break;
    if (close_by) {
      changed.wait_for(lock, patience.pause_min);
    } else {
      changed.wait_for(lock, pause_now, [&] { return close_by.has_value(); });
    }
    pause_now = std::min(2 * pause_now, patience.pause_max);
  }
  ended = true;
  tell();
}

AppendLater::AppendLater(AppendFile file, std::string last_line, Patience patience) : shared_(std::make_shared<Shared>()) {
  shared_->patience = patience;
  shared_->name = file.path().string();
  shared_->event = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  CHECK(shared_->event >= 0, "eventfd");
  const std::uint64_t bytes = file.size();
  // The thread is nobody's to interrupt: signals are for those who handle them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread(
      [shared = shared_, written = Written{std::move(file), bytes, std::move(last_line)}]() mutable { shared->run(std::move(written)); });
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

AppendLater::~AppendLater() {
  std::unique_lock lock(shared_->mutex);
  shared_->close_by = Clock::now() + shared_->patience.close;
  shared_->changed.notify_all();
  const bool ended = shared_->changed.wait_until(lock, *shared_->close_by, [&] { return shared_->ended; });
  const std::uint64_t left = shared_->posted - shared_->durable;
  const std::string why = shared_->fatal ? shared_->fatal->message : shared_->error.value_or("the disk does not answer");
  lock.unlock();
  // A call to the disk may never return.
  if (ended) {
    thread_.join();
  } else {
    thread_.detach();
  }
  if (left > 0) log_warning("{}: the last {} lines are not durable: {}", shared_->name, left, why);
}

void AppendLater::add(std::string line, bool replaces) {
  CHECK(line.ends_with('\n'), "a line without its end: {}", line);
  const auto now = Clock::now();
  const std::lock_guard lock(shared_->mutex);
  ++shared_->posted;
  if (shared_->fatal) return;
  if (!shared_->since) shared_->since = now;
  shared_->waiting.push_back({std::move(line), replaces, now});
  shared_->changed.notify_all();
}

void AppendLater::post(std::string line) {
  add(std::move(line), false);
}

void AppendLater::replace_last(std::string line) {
  add(std::move(line), true);
}

std::uint64_t AppendLater::posted() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->posted;
}

std::uint64_t AppendLater::durable() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->durable;
}

bool AppendLater::wait_durable(std::uint64_t count, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, timeout, [&] { return shared_->durable >= count || shared_->ended; });
  return shared_->durable >= count;
}

int AppendLater::descriptor() const {
  return shared_->event;
}

void AppendLater::acknowledge() {
  std::uint64_t count = 0;
  static_cast<void>(!::read(shared_->event, &count, sizeof count));
}

std::optional<std::string> AppendLater::trouble() const {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->fatal) return shared_->fatal->message;
  if (!shared_->since) return std::nullopt;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - *shared_->since);
  if (!shared_->error && waited < shared_->patience.slow) return std::nullopt;
  const std::string why = shared_->error.value_or(fmt::format("{}: the disk does not answer", shared_->name));
  return fmt::format("{}; {} lines wait in memory, for {:.1f} s, and are written as soon as the disk takes them", why,
                     shared_->posted - shared_->durable, static_cast<double>(waited.count()) / 1000);
}

std::optional<Error> AppendLater::fatal() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->fatal;
}

}  // namespace godwit::store
