#include "guard/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "guard/child.h"
#include "guard/sandbox.h"

namespace godwit::guard {

namespace {

constexpr int look_every_ms = 20;
constexpr std::size_t complaint_bytes_max = 4096;  // of standard error, the end counts
constexpr int not_started = 127;

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() { shut(); }
  void shut() {
    if (number_ >= 0) close(std::exchange(number_, -1));
  }
  [[nodiscard]] int number() const { return number_; }

 private:
  int number_ = -1;
};

struct Pipe {
  Descriptor reading, writing;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return world_error("a pipe: {}", std::strerror(errno));
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

void set_nonblocking(const Descriptor& end) {
  fcntl(end.number(), F_SETFL, fcntl(end.number(), F_GETFL) | O_NONBLOCK);
}

// Writing to a program that does not read is an error, not a signal.
class BrokenPipesIgnored {
 public:
  BrokenPipesIgnored() {
    struct sigaction ignored {};
    ignored.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignored, &before_);
  }
  ~BrokenPipesIgnored() { sigaction(SIGPIPE, &before_, nullptr); }

 private:
  struct sigaction before_ {};
};

// In the child: what the program is and what it is given.
struct Start {
  std::vector<std::string> words;
  std::string path;
  CommandLimits limits;
  int input = -1, output = -1, complaints = -1, told = -1;
};

void tell(int told, std::string_view line) {
  (void)!write(told, line.data(), line.size());
}

void restore_signals() {
  for (const int number : {SIGTERM, SIGINT, SIGPIPE, SIGHUP, SIGQUIT}) signal(number, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

void limit(int resource, rlim_t value) {
  const rlimit both{value, value};
  setrlimit(static_cast<__rlimit_resource>(resource), &both);
}

[[noreturn]] void become(Start& start) {
  std::vector<char*> words;
  for (std::string& word : start.words) words.push_back(word.data());
  words.push_back(nullptr);
  for (const auto& [from, to] : {std::pair{start.input, 0}, {start.output, 1}, {start.complaints, 2}}) dup2(from, to);
  // Whatever else this process has open is not the program's. (CLOSE_RANGE_CLOEXEC)
  syscall(SYS_close_range, 3U, ~0U, 4U);
  limit(RLIMIT_CORE, 0);
  if (start.limits.memory_bytes > 0) limit(RLIMIT_AS, static_cast<rlim_t>(start.limits.memory_bytes));
  execv(start.path.c_str(), words.data());
  tell(start.told, fmt::format("!{}\n", std::strerror(errno)));
  _exit(not_started);
}

// Waits for a child, and for whoever else becomes one; its exit code, or 128 + signal, becomes this process's.
[[noreturn]] void follow(pid_t child) {
  for (int descriptor = 0; descriptor < 3; ++descriptor) close(descriptor);
  syscall(SYS_close_range, 3U, ~0U, 0U);
  int status = 0;
  while (true) {
    const pid_t ended = waitpid(-1, &status, 0);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR) _exit(1);
  }
  _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

pid_t fork_bound() {
  const pid_t pid = fork();
  if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

// The body of the outermost child. In a process namespace the next one is its first process, whose end ends everyone in it; the program is that
// one's child, because a first process would be deaf to its own signals.
int begin(Start& start) {
  setpgid(0, 0);
  restore_signals();
  for (const std::string& each : confine_command()) tell(start.told, each + "\n");
  const pid_t first = fork_bound();
  if (first < 0) return not_started;
  if (first > 0) follow(first);
  const pid_t program = fork_bound();
  if (program < 0) _exit(not_started);
  if (program > 0) follow(program);
  become(start);
}

// Reads what is there. False at the end.
bool take(const Descriptor& from, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t got = read(from.number(), buffer.data(), buffer.size());
  if (got > 0) into.append(buffer.data(), static_cast<std::size_t>(got));
  return got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR));
}

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  const std::size_t begin = text.rfind('\n');
  return begin == std::string::npos ? text : text.substr(begin + 1);
}

std::string ended_text(const Ending& ending, const std::string& complaints) {
  if (ending.kind == Ending::Kind::left && ending.code == 0) return "";
  std::string text = ending.kind == Ending::Kind::left && ending.code > 128 ? fmt::format("was ended by a signal ({})", strsignal(ending.code - 128)) : ending.text();
  if (const std::string why = last_line(complaints); !why.empty()) text += ": " + why;
  return text;
}

}  // namespace

std::filesystem::path find_executable(const std::string& name) {
  const auto runs = [](const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
  };
  if (name.find('/') != std::string::npos) return runs(name) ? std::filesystem::path(name) : std::filesystem::path();
  const char* known = getenv("PATH");
  std::string_view rest = known != nullptr ? known : "/usr/local/bin:/usr/bin:/bin";
  while (!name.empty() && !rest.empty()) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::filesystem::path path = std::filesystem::path(end == 0 ? "." : std::string(rest.substr(0, end))) / name;
    if (runs(path)) return path;
    rest.remove_prefix(std::min(rest.size(), end + 1));
  }
  return {};
}

Result<CommandOutcome> run_command(const std::vector<std::string>& command, std::string_view input, const CommandLimits& limits,
                                   const std::function<void()>& beat) {
  CommandOutcome outcome;
  CHECK(!command.empty(), "there is no command");
  const std::filesystem::path path = find_executable(command[0]);
  if (path.empty()) {
    outcome.trouble = "could not be started: there is no such executable";
    return outcome;
  }
  const BrokenPipesIgnored ignored;
  TRY_ASSIGN(Pipe in, make_pipe());
  TRY_ASSIGN(Pipe out, make_pipe());
  TRY_ASSIGN(Pipe err, make_pipe());
  TRY_ASSIGN(Pipe told, make_pipe());
  Start start{command, path.string(), limits, in.reading.number(), out.writing.number(), err.writing.number(), told.writing.number()};
  TRY_ASSIGN(Child child, Child::fork("godwit command", [&] { return begin(start); }));
  in.reading.shut();
  for (Pipe* each : {&out, &err, &told}) each->writing.shut();
  for (const Descriptor* each : {&in.writing, &out.reading, &err.reading, &told.reading}) set_nonblocking(*each);

  std::string complaints, said;
  const double began = monotonic_seconds();
  std::optional<Ending> ending;
  while (!ending && outcome.trouble.empty()) {
    if (beat) beat();
    if (input.empty()) in.writing.shut();
    std::array<pollfd, 5> waits{{{in.writing.number(), POLLOUT, 0},
                                 {out.reading.number(), POLLIN, 0},
                                 {err.reading.number(), POLLIN, 0},
                                 {told.reading.number(), POLLIN, 0},
                                 {child.descriptor(), POLLIN, 0}}};
    poll(waits.data(), waits.size(), look_every_ms);
    if (waits[0].revents != 0) {
      const ssize_t done = write(in.writing.number(), input.data(), input.size());
      if (done > 0) input.remove_prefix(static_cast<std::size_t>(done));
      if (done < 0 && errno != EAGAIN && errno != EINTR) input = {};  // it does not read to the end
    }
    if (waits[1].revents != 0 && !take(out.reading, outcome.output)) out.reading.shut();
    if (waits[2].revents != 0 && !take(err.reading, complaints)) err.reading.shut();
    if (waits[3].revents != 0 && !take(told.reading, said)) told.reading.shut();
    if (complaints.size() > complaint_bytes_max) complaints.erase(0, complaints.size() - complaint_bytes_max);
    ending = child.ending();
    if (outcome.output.size() > limits.output_bytes) outcome.trouble = fmt::format("wrote more than {} bytes and was ended", limits.output_bytes);
    if (!ending && monotonic_seconds() - began > limits.seconds) outcome.trouble = fmt::format("took more than {} s and was ended", limits.seconds);
  }
  if (!ending) {
    kill(-child.pid(), SIGKILL);  // where there is no process namespace, its group is what is known of its processes
    child.kill();
    while (!child.ending()) {
      pollfd wait{child.descriptor(), POLLIN, 0};
      poll(&wait, 1, look_every_ms);
      if (beat) beat();
    }
  }
  // What was written before the end and not read yet.
  for (const auto& [from, into] : {std::pair{&out.reading, &outcome.output}, {&err.reading, &complaints}, {&told.reading, &said}}) {
    for (std::size_t before = into->size() + 1; from->number() >= 0 && into->size() != before && into->size() <= limits.output_bytes;) {
      before = into->size();
      (void)take(*from, *into);
    }
  }
  outcome.output.resize(std::min(outcome.output.size(), limits.output_bytes));
  if (outcome.trouble.empty()) outcome.trouble = ended_text(*ending, complaints);
  for (std::size_t end = said.find('\n'); end != std::string::npos; said.erase(0, end + 1), end = said.find('\n')) {
    if (said[0] == '!') {
      outcome.trouble = "could not be started: " + said.substr(1, end - 1);
    } else {
      outcome.unconfined.push_back(said.substr(0, end));
    }
  }
  return outcome;
}

}  // namespace godwit::guard
