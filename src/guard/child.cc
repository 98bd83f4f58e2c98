#include "guard/child.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <utility>

#include "base/log.h"

namespace godwit::guard {

namespace {

bool from_outside(int signal) {
  return signal == SIGKILL || signal == SIGTERM || signal == SIGINT || signal == SIGHUP || signal == SIGQUIT || signal == SIGPIPE ||
         signal == SIGALRM || signal == SIGUSR1 || signal == SIGUSR2;
}

// How a process ended, once it has; with it ends whoever is left in the group that it leads, if it leads one. Before it is waited for,
// because then its number may be another's.
std::optional<int> reap(pid_t pid, int how) {
  siginfo_t ended{};
  int waited = 0;
  while ((waited = waitid(P_PID, static_cast<id_t>(pid), &ended, WEXITED | WNOWAIT | how)) < 0 && errno == EINTR) {
  }
  if (waited < 0 || ended.si_pid != pid) return std::nullopt;
  ::kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// A small file of /proc; empty if it is not there any more.
std::string read_proc(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return "";
  char buffer[1024];
  const ssize_t got = read(descriptor, buffer, sizeof buffer);
  close(descriptor);
  return got > 0 ? std::string(buffer, static_cast<std::size_t>(got)) : std::string();
}

// Fields of a stat file behind the name, which may hold anything: state is the first.
struct Stat {
  char state = '?';
  double cpu_s = 0;
};
std::optional<Stat> parse_stat(const std::string& text) {
  const std::size_t end = text.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  Stat stat;
  unsigned long user = 0, system = 0;
  if (std::sscanf(text.c_str() + end + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &stat.state, &user, &system) != 3) {
    return std::nullopt;
  }
  static const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  stat.cpu_s = static_cast<double>(user + system) / ticks;
  return stat;
}

}  // namespace

std::string Ending::text() const {
  if (kind == Kind::left) return fmt::format("ended with exit code {}", code);
  return fmt::format("{} ({})", kind == Kind::crashed ? "crashed" : "was killed", strsignal(code));
}

Result<Child> Child::fork(const std::string& name, const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return world_error("a new process: {}", std::strerror(errno));
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it died in between
    prctl(PR_SET_NAME, name.c_str());
    int code = 1;
    try {
      code = body();
    } catch (const std::bad_alloc&) {
      log_error("{}: not enough memory", name);
    } catch (const std::exception& error) {
      log_error("{}: {}", name, error.what());
    }
    _exit(code);
  }
  const int descriptor = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (descriptor < 0) {
    const int reason = errno;
    ::kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return world_error("watching process {}: {}", pid, std::strerror(reason));
  }
  return Child(pid, descriptor);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), descriptor_(std::exchange(other.descriptor_, -1)), ending_(std::move(other.ending_)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(ending_, other.ending_);
  return *this;
}

Child::~Child() {
  if (pid_ > 0 && !ending()) {
    kill();
    (void)reap(pid_, 0);
  }
  if (descriptor_ >= 0) close(descriptor_);
}

std::optional<Ending> Child::ending() {
  if (ending_ || pid_ < 0) return ending_;
  const std::optional<int> status = reap(pid_, WNOHANG);
  if (!status) return std::nullopt;
  if (WIFSIGNALED(*status)) {
    ending_ = Ending{from_outside(WTERMSIG(*status)) ? Ending::Kind::killed : Ending::Kind::crashed, WTERMSIG(*status)};
  } else {
    ending_ = Ending{Ending::Kind::left, WEXITSTATUS(*status)};
  }
  return ending_;
}

void Child::kill() const {
  signal(SIGKILL);
}

void Child::signal(int number) const {
  if (pid_ > 0 && !ending_) ::kill(pid_, number);
}

bool Child::look(Look& look) const {
  look = {};
  const auto whole = parse_stat(read_proc(fmt::format("/proc/{}/stat", pid_)));
  if (!whole || whole->state == 'Z' || whole->state == 'X') return false;
  look.cpu_s = whole->cpu_s;
  look.stopped = whole->state == 'T' || whole->state == 't';
  look.runnable = whole->state == 'R' || whole->state == 'D';
  if (look.runnable || look.stopped) return true;
  // The first thread sleeps; it may wait for the others.
  const std::string path = fmt::format("/proc/{}/task", pid_);
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return false;
  while (const dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    const auto thread = parse_stat(read_proc(path + "/" + entry->d_name + "/stat"));
    if (thread && (thread->state == 'R' || thread->state == 'D')) look.runnable = true;
  }
  closedir(directory);
  return true;
}

}  // namespace godwit::guard
