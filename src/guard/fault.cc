#include "guard/fault.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>

#include "base/check.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/random.h"

namespace godwit::guard {
namespace {

constexpr std::array<std::string_view, phase_count> phase_names = {
    "starting",  "preparing", "idle",    "loading",  "batch",     "asking",     "forward",   "backward", "sending", "evaluating",
    "comparing", "joining",   "judging", "applying", "digesting", "committing", "committed", "moving",   "moved",   "writing"};

constexpr int workers_max = 63;  // that are told apart; the others share the last place
constexpr std::size_t requests_max = 64;
// Places for how often points were passed, where a probability decides. A point of a long gone step gives its place to a new one.
constexpr std::size_t passes_places = std::size_t{1} << 16;
constexpr std::size_t passes_looked_at = 8;

static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes share them");

struct Tally {
  std::atomic<std::uint64_t> struck;
  std::atomic<std::uint64_t> last_step;  // plus one
};

struct Passes {
  std::atomic<std::uint64_t> point;  // its hash; 0: free
  std::atomic<std::uint64_t> times;
};

// A signal a process cannot send itself, or not yet.
struct Request {
  std::atomic<int> process;  // 0: free, -1: being written
  std::atomic<int> signal;
  std::atomic<double> due;
};

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
  return hash ^ (hash >> 29);
}

std::uint64_t hash_of(std::size_t index, const Point& point) {
  std::uint64_t hash = mixed(index + 1, static_cast<std::uint64_t>(point.role) << 8 | static_cast<std::uint64_t>(point.phase));
  hash = mixed(hash, static_cast<std::uint64_t>(point.worker));
  hash = mixed(hash, point.step);
  for (const char c : point.op) hash = mixed(hash, static_cast<unsigned char>(c));
  return std::max<std::uint64_t>(mixed(hash, point.op.size()), 1);
}

bool device_fault(const Fault& fault) {
  return fault.act != Act::poison && fault.act != Act::terminate;
}

bool link_fault(const Fault& fault) {
  return fault.act >= Act::lose_frame && fault.act <= Act::reset_link;
}

// Whether this thread has just come to the phase. Within it, it may pass its begin many times (a keeper does with each op), but a
// probability is of a phase, not of how it is gone through.
bool just_entered(const Point& point) {
  thread_local pid_t process = 0;
  thread_local Phase phase = Phase::starting;
  thread_local std::uint64_t step = 0;
  const bool same = process == getpid() && phase == point.phase && step == point.step;
  process = getpid();
  phase = point.phase;
  step = point.step;
  return !same;
}

bool fits(const Fault& fault, const Point& point) {
  if (fault.at.role != point.role) return false;
  if (fault.at.candidate != point.candidate) return false;
  if (fault.act != Act::move && fault.at.worker >= 0 && fault.at.worker != point.worker) return false;
  // A keeper is trusted too, but not as a device.
  if (point.trusted && point.worker >= 0 && !fault.trusted_too && device_fault(fault)) return false;
  if (link_fault(fault) && point.worker < 0) return false;
  if (point.step < fault.at.step || point.step > std::max(fault.at.step, fault.last_step)) return false;
  if (fault.act == Act::slow) return true;
  if (!fault.any_phase && fault.at.phase != point.phase) return false;
  return fault.in_op == "*" || fault.in_op == point.op;
}

void sleep_for(double seconds) {
  const auto whole = static_cast<time_t>(seconds);
  timespec rest{whole, static_cast<long>((seconds - static_cast<double>(whole)) * 1e9)};
  while (nanosleep(&rest, &rest) != 0 && errno == EINTR) {
  }
}

[[noreturn]] void spin_for_ever() {
  for (std::atomic<std::uint64_t> turns = 0;;) turns.fetch_add(1, std::memory_order_relaxed);
}

[[noreturn]] void livelock(int threads) {
  for (int i = 1; i < threads; ++i) {
    try {
      std::thread(spin_for_ever).detach();
    } catch (const std::system_error&) {
      break;  // a process that may have no more threads; this one spins
    }
  }
  spin_for_ever();
}

[[noreturn]] void exhaust() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0) {
    limit.rlim_cur = 0;
    if (setrlimit(RLIMIT_AS, &limit) == 0) {
      constexpr std::size_t block = std::size_t{64} << 20;
      [[maybe_unused]] static void* volatile taken =
          nullptr;  // volatile, or the compiler takes none; kept: a process that survives this has lost it
      for (;;) taken = ::operator new(block);
    }
  }
  throw std::bad_alloc();
}

// Children of this process; none where the system does not say.
std::vector<pid_t> children() {
  std::vector<pid_t> found;
  const auto tasks = list_directory("/proc/self/task");
  if (!tasks.ok()) return found;
  for (const std::string& task : *tasks) {
    const auto text = read_file(fmt::format("/proc/self/task/{}/children", task));
    if (!text.ok()) continue;
    for (const char* at = text->c_str(); *at != '\0';) {
      char* end = nullptr;
      const long process = std::strtol(at, &end, 10);
      if (end == at) break;
      if (process > 0) found.push_back(static_cast<pid_t>(process));
      at = *end == ' ' ? end + 1 : end;
    }
  }
  return found;
}

// Sends SIGCONT to this process after a time, from a grandchild: no child of this process's own is left to wait for.
bool continue_later(double seconds) {
  const pid_t stopped = getpid();
  const pid_t child = fork();
  if (child < 0) return false;
  if (child == 0) {
    if (fork() == 0) {
      sleep_for(seconds);
      ::kill(stopped, SIGCONT);
    }
    _exit(0);
  }
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return true;
}

Json point_line(std::size_t number, const Fault& fault, const Point& point) {
  Json line = Json::object();
  line["fault"] = number;
  line["text"] = fault.text;
  line["role"] = role_name(point.role);
  if (point.worker >= 0) line["worker"] = point.worker;
  if (point.candidate) line["candidate"] = true;
  line["step"] = point.step;
  line["phase"] = phase_name(point.phase);
  if (!point.op.empty()) line["op"] = point.op;
  line["process"] = getpid();
  line["seconds"] = monotonic_seconds();
  return line;
}

}  // namespace

std::string_view phase_name(Phase phase) {
  return phase_names.at(static_cast<std::size_t>(phase));
}

std::string_view role_name(Role role) {
  constexpr std::string_view names[] = {"supervisor", "keeper", "worker"};
  return names[static_cast<std::size_t>(role)];
}

struct Faults::Strike {
  std::size_t index = 0;
  const Point* point = nullptr;
  std::uint64_t times = 0, pass = 0;
};

// What all processes of a run share. Places of tallies: 0 for a fault as a whole, 1 + k for worker k.
struct Faults::Board {
  static constexpr std::size_t tallies_each = workers_max + 2;

  Board(std::size_t fault_count, int descriptor) : log(descriptor), supervisor(getpid()) {
    tally_bytes = fault_count * tallies_each * sizeof(Tally);
    bytes = tally_bytes + passes_places * sizeof(Passes) + requests_max * sizeof(Request);
    memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED, "no memory of {} bytes for the board of faults", bytes);
    // Fresh pages are zeros, which is what each of these begins with.
    auto* at = static_cast<std::byte*>(memory);
    tallies = reinterpret_cast<Tally*>(at);
    passes = reinterpret_cast<Passes*>(at + tally_bytes);
    requests = reinterpret_cast<Request*>(at + tally_bytes + passes_places * sizeof(Passes));
  }
  ~Board() {
    munmap(memory, bytes);
    ::close(log);
  }
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;

  Tally& tally(std::size_t index, int place) { return tallies[index * tallies_each + static_cast<std::size_t>(place)]; }
  Tally& tally_of(std::size_t index, const Fault& fault, int worker) {
    return tally(index, fault.each_worker ? 1 + std::clamp(worker, 0, workers_max) : 0);
  }

  std::atomic<std::uint64_t>& times_passed(std::uint64_t hash) {
    for (std::size_t i = 0; i < passes_looked_at; ++i) {
      Passes& place = passes[(hash + i) % passes_places];
      std::uint64_t there = place.point.load();
      if (there == 0 && place.point.compare_exchange_strong(there, hash)) return place.times;
      if (there == hash) return place.times;
    }
    Passes& place = passes[hash % passes_places];
    place.point = hash;
    place.times = 0;
    return place.times;
  }

  bool ask(int signal, double after_seconds) {
    for (std::size_t i = 0; i < requests_max; ++i) {
      Request& request = requests[i];
      int free = 0;
      if (!request.process.compare_exchange_strong(free, -1)) continue;
      request.signal = signal;
      request.due = monotonic_seconds() + after_seconds;
      request.process = getpid();
      return true;
    }
    return false;
  }

  int log;
  pid_t supervisor;
  std::size_t bytes = 0, tally_bytes = 0;
  void* memory = nullptr;
  Tally* tallies = nullptr;
  Passes* passes = nullptr;
  Request* requests = nullptr;
};

Result<std::shared_ptr<Faults>> Faults::create(std::vector<Fault> faults, const std::string& log_path) {
  std::error_code ignored;
  std::string earlier;
  if (fs::exists(log_path, ignored)) {
    TRY_ASSIGN(earlier, read_file(log_path));
  }
  const int descriptor = ::open(log_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) return world_error("{} cannot be opened: {}", log_path, std::strerror(errno));
  auto made = std::make_shared<Faults>();
  made->faults_ = std::move(faults);
  made->slowed_.assign(made->faults_.size(), 0);
  made->board_ = std::make_shared<Board>(made->faults_.size(), descriptor);
  for (Fault& fault : made->faults_) {
    fault.spoil.struct_size = sizeof fault.spoil;
    fault.spoil.op = fault.op.empty() ? nullptr : fault.op.c_str();
  }
  // A process that died while it wrote left a line without an end.
  if (!earlier.empty() && !earlier.ends_with('\n') && ::write(descriptor, "\n", 1) != 1) {
    return world_error("{} cannot be written: {}", log_path, std::strerror(errno));
  }
  Board& board = *made->board_;
  for (std::size_t begin = 0; begin < earlier.size();) {
    const std::size_t end = std::min(earlier.find('\n', begin), earlier.size());
    const auto line = parse_json(std::string_view(earlier).substr(begin, end - begin), log_path);
    begin = end + 1;
    if (!line.ok() || !line->contains("fault") || !line->contains("times")) continue;
    const auto index = line->value<std::size_t>("fault", 0);
    if (index >= made->faults_.size() || made->faults_[index].text != line->value<std::string>("text", "")) continue;
    const Fault& fault = made->faults_[index];
    Point point{.role = fault.at.role, .worker = line->value("worker", -1), .step = line->value<std::uint64_t>("step", 0)};
    const auto phase = std::ranges::find(phase_names, line->value<std::string>("phase", ""));
    if (phase != phase_names.end()) point.phase = static_cast<Phase>(phase - phase_names.begin());
    const std::string op = line->value<std::string>("op", "");
    point.op = op;
    ++board.tally(index, 0).struck;
    if (fault.each_worker) ++board.tally_of(index, fault, point.worker).struck;
    std::atomic<std::uint64_t>& last = board.tally_of(index, fault, point.worker).last_step;
    last = std::max(last.load(), point.step + 1);
    if (const auto pass = line->value<std::uint64_t>("pass", 0); pass > 0) {
      std::atomic<std::uint64_t>& times = board.times_passed(hash_of(index, point));
      times = std::max(times.load(), pass);
    }
  }
  return made;
}

// Whether the fault strikes here and now; if so, it is counted.
bool Faults::due(std::size_t index, const Point& point, Strike& strike) {
  const Fault& fault = faults_[index];
  Board& board = *board_;
  strike = {.index = index, .point = &point};
  if (fault.rate < 1) {
    const std::uint64_t hash = hash_of(index, point);
    strike.pass = board.times_passed(hash).fetch_add(1) + 1;
    if (RandomStream(fault.seed, Purpose::fault, hash >> 8).f64(strike.pass) >= fault.rate) return false;
  }
  Tally& tally = board.tally_of(index, fault, point.worker);
  if (fault.once_a_step) {
    std::uint64_t last = tally.last_step;
    do {
      if (last > point.step) return false;
    } while (!tally.last_step.compare_exchange_weak(last, point.step + 1));
  }
  std::uint64_t struck = tally.struck;
  do {
    if (fault.count > 0 && struck >= fault.count) return false;
  } while (!tally.struck.compare_exchange_weak(struck, struck + 1));
  strike.times = struck + 1;
  if (fault.each_worker) strike.times = ++board.tally(index, 0).struck;
  return true;
}

bool Faults::log(const Strike& strike, std::string_view what) {
  Json line = point_line(strike.index, faults_[strike.index], *strike.point);
  if (what.empty()) {
    line["times"] = strike.times;
    if (strike.pass > 0) line["pass"] = strike.pass;
  } else {
    line["what"] = what;
  }
  const std::string text = write_json(line) + "\n";
  ssize_t written = 0;
  do {
    written = ::write(board_->log, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  return written == static_cast<ssize_t>(text.size());
}

// Here the sandbox of a worker may forbid what is asked of it; the supervisor does it then.
void Faults::signal_self(int signal) {
  if (::kill(getpid(), signal) == 0 && signal == SIGSTOP) return;
  if (board_->ask(signal, 0)) {
    if (signal == SIGSTOP) {
      sleep_for(1);  // it is stopped meanwhile
      return;
    }
    for (;;) sleep_for(1);
  }
  std::abort();
}

void Faults::carry_out(const Fault& fault, const Point& point) {
  switch (fault.act) {
    case Act::kill:
      if (fault.how == "everything" && point.role == Role::supervisor) {
        for (const pid_t child : children()) ::kill(child, SIGKILL);
      }
      signal_self(SIGKILL);
      return;
    case Act::crash:
      std::signal(SIGSEGV, SIG_DFL);
      std::raise(SIGSEGV);
      std::abort();
    case Act::abandon:
      std::signal(SIGABRT, SIG_DFL);
      std::abort();
    case Act::leave:
      _exit(0);
    case Act::exhaust:
      exhaust();
    case Act::stop:
      if (fault.seconds > 0) {
        // Who is stopped cannot continue itself. A supervisor has nobody above; the others have it.
        const bool arranged = point.role == Role::supervisor ? continue_later(fault.seconds) : board_->ask(SIGCONT, fault.seconds);
        CHECK(arranged, "nobody would continue this process after it is stopped");
      }
      signal_self(SIGSTOP);
      return;
    case Act::livelock:
      livelock(fault.threads);
    case Act::sleep:
      sleep_for(fault.seconds);
      return;
    case Act::terminate:
      if (::kill(board_->supervisor, SIGTERM) != 0) board_->ask(SIGTERM, 0);
      return;
    default:
      return;
  }
}

// Threads of a process that pass points are slow each by itself.
void Faults::slow_down(const Point& point, double factor) {
  thread_local int process = 0;
  thread_local double since = 0;
  thread_local bool at_work = false;
  if (factor > 1 && at_work && process == getpid()) {
    const double until = since + factor * (monotonic_seconds() - since);
    while (monotonic_seconds() < until) {
    }
  }
  process = getpid();
  since = monotonic_seconds();
  at_work = point.phase != Phase::idle && point.phase != Phase::starting;
}

std::vector<const Fault*> Faults::pass(const Point& point) {
  std::vector<const Fault*> handed_back;
  if (faults_.empty()) return handed_back;
  double factor = 1;
  Strike strike;
  const bool entered = just_entered(point);
  for (std::size_t i = 0; i < faults_.size(); ++i) {
    const Fault& fault = faults_[i];
    if (!fits(fault, point)) continue;
    if (fault.rate < 1 && fault.in_op.empty() && !entered && !link_fault(fault)) continue;
    if (fault.act == Act::slow && std::atomic_ref(slowed_[i]).load() == getpid()) {
      factor = std::max(factor, fault.factor);
      continue;
    }
    if (!due(i, point, strike)) continue;
    if (!log(strike, {})) continue;  // a fault without a record would be an accident
    if (fault.act == Act::slow) {
      std::atomic_ref(slowed_[i]).store(getpid());
      factor = std::max(factor, fault.factor);
    } else if (fault.act >= Act::spoil) {
      handed_back.push_back(&fault);
    } else {
      carry_out(fault, point);
    }
  }
  slow_down(point, factor);
  return handed_back;
}

void Faults::tell(const Fault& fault, const Point& point, std::string_view what) {
  const auto index = static_cast<std::size_t>(&fault - faults_.data());
  CHECK(index < faults_.size(), "a fault of another story");
  log({.index = index, .point = &point}, what);
}

void Faults::attend() {
  if (faults_.empty()) return;
  const double now = monotonic_seconds();
  for (std::size_t i = 0; i < requests_max; ++i) {
    Request& request = board_->requests[i];
    const int process = request.process;
    if (process <= 0 || request.due > now) continue;
    // SIGTERM is asked for of the supervisor, everything else of the process that asks.
    const int signal = request.signal;
    request.process = 0;
    ::kill(signal == SIGTERM ? board_->supervisor : process, signal);
  }
}

std::uint64_t Faults::struck(std::size_t index) const {
  CHECK(index < faults_.size(), "there is no fault {}", index);
  return board_->tally(index, 0).struck;
}

}  // namespace godwit::guard
