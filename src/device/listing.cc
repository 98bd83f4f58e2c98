#include "device/listing.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/clock.h"
#include "base/json.h"
#include "device/backend_call.h"

namespace godwit::device {

namespace {

constexpr std::int32_t devices_most = 1024;
constexpr std::size_t profiles_most = 64;

Json ops_of(const BackendPlace& place, std::string& trouble) {
  Json ops = Json::array();
  const auto opened = Device::open({.backend = place.name, .threads = 1, .isa = ""});
  if (!opened.ok()) {
    trouble += fmt::format("{}{}", trouble.empty() ? "" : "; ", opened.error().message);
    return ops;
  }
  for (const OpCoverage& each : cover_all_ops(**opened))
    ops.push_back({{"op", each.op}, {"examples", each.examples}, {"own", each.own}, {"by_parts", each.by_parts}});
  return ops;
}

// One JSON document of what the library says; with `all`, which ops it has too.
Json ask(const BackendPlace& place, bool all) {
  const auto loaded = load_backend(place);
  if (!loaded.ok()) return Json{{"error", loaded.error().message}};
  const godwit_backend& backend = **loaded;
  Json devices = Json::array();
  std::string trouble;
  const std::int32_t count = call(backend, &godwit_backend::device_count);
  if (count < 0 || count > devices_most) return Json{{"error", fmt::format("device_count says that it has {} devices", count)}};
  for (std::int32_t index = 0; index < count; ++index) {
    godwit_device_info info{};
    info.struct_size = sizeof info;
    godwit_error error{};
    if (call(backend, &godwit_backend::device_describe, index, &info, &error) != GODWIT_OK) {
      trouble += fmt::format("{}device {}: {}", trouble.empty() ? "" : "; ", index, text_of(error.message));
      continue;
    }
    const InCall in(InCall::mark_of(backend, &godwit_backend::device_describe));  // what it left is the library's memory
    Json profiles = Json::array();
    for (const char* const* profile = info.profiles; profile != nullptr && *profile != nullptr && profiles.size() < profiles_most;
         ++profile)
      profiles.push_back(*profile);
    devices.push_back({{"number", index},
                       {"name", text_of(info.name)},
                       {"driver", text_of(info.driver)},
                       {"memory_bytes", info.memory_bytes},
                       {"profiles", profiles}});
  }
  Json ops = Json::array();
  if (all && count > 0 && trouble.empty()) ops = ops_of(place, trouble);
  return Json{{"version", fmt::format("{}.{}", backend.major, backend.minor)}, {"devices", devices}, {"ops", ops}, {"error", trouble}};
}

// A word that the child writes and its parent reads.
class Mark {
 public:
  Mark() {
    void* mapped = mmap(nullptr, sizeof(std::atomic<std::uint32_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mapped != MAP_FAILED, "no memory for a word that two processes share");
    word_ = new (mapped) std::atomic<std::uint32_t>(0);
  }
  ~Mark() { munmap(word_, sizeof *word_); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  [[nodiscard]] std::atomic<std::uint32_t>& word() { return *word_; }
  [[nodiscard]] std::string where() const {
    const std::string call = call_text(word_->load());
    return call.empty() ? "" : fmt::format(", in {}", call);
  }

 private:
  std::atomic<std::uint32_t>* word_;
};

ListedBackend read_answer(const BackendPlace& place, const Json& json) {
  ListedBackend listed{place, json.value("version", std::string()), {}, {}, json.value("error", std::string())};
  if (const Json* devices = json.find("devices"); devices != nullptr) {
    for (const Json& each : *devices) {
      listed.devices.push_back({each["number"].get<int>(), each["name"].string(), each["driver"].string(),
                                each["memory_bytes"].get<std::int64_t>(), each["profiles"].get<std::vector<std::string>>()});
    }
  }
  if (const Json* ops = json.find("ops"); ops != nullptr) {
    for (const Json& each : *ops) {
      listed.ops.push_back({each["op"].string(), each["examples"].get<std::int64_t>(), each["own"].get<std::int64_t>(),
                            each["by_parts"].get<std::int64_t>()});
    }
  }
  return listed;
}

// Everything up to the end of the line, or before the other end is closed, or before the patience ends: then false.
bool read_all(int from, double until, std::string& text) {
  while (true) {
    const double left = until - monotonic_seconds();
    pollfd wait{from, POLLIN, 0};
    const int ready = left <= 0 ? 0 : ::poll(&wait, 1, static_cast<int>(left * 1000) + 1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char part[4096];
    const ssize_t count = ::read(from, part, sizeof part);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    text.append(part, static_cast<std::size_t>(count));
    if (text.back() == '\n') return true;
  }
}

}  // namespace

ListedBackend list_devices_of(const BackendPlace& place, const Asking& how) {
  ListedBackend listed{place, "", {}, {}, ""};
  Mark mark;
  int ends[2];
  if (::pipe(ends) != 0) {
    listed.error = fmt::format("no pipe to ask it through: {}", std::strerror(errno));
    return listed;
  }
  const pid_t child = ::fork();
  if (child < 0) {
    listed.error = fmt::format("no process to ask it in: {}", std::strerror(errno));
    ::close(ends[0]);
    ::close(ends[1]);
    return listed;
  }
  if (child == 0) {
    ::close(ends[0]);
    ::setpgid(0, 0);  // what the library leaves behind goes with it
    how.confine();
    watch_calls(mark.word(), ends[1]);
    const std::string text = write_json(ask(place, true)) + "\n";
    std::string_view rest = text;
    while (!rest.empty()) {
      const ssize_t count = ::write(ends[1], rest.data(), rest.size());
      if (count <= 0) break;
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
    ::_exit(0);  // a library's own clean-up may hang, and is nobody's concern here
  }
  ::close(ends[1]);
  std::string text;
  const bool answered = read_all(ends[0], monotonic_seconds() + how.patience_ms / 1e3, text);
  ::close(ends[0]);
  if (!answered) ::kill(child, SIGKILL);
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
  }
  ::kill(-child, SIGKILL);  // its group, before its number can be another's
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answered) {
    listed.error = fmt::format("it did not answer within {} s{}", how.patience_ms / 1000.0, mark.where());
    return listed;
  }
  const auto json = parse_json(text, place.name);
  if (!json.ok()) {
    listed.error = fmt::format("asking for its devices ended the process{}{}", mark.where(),
                               WIFSIGNALED(status) ? fmt::format(": {}", strsignal(WTERMSIG(status))) : "");
    return listed;
  }
  return read_answer(place, *json);
}

ListedBackend list_devices_here(const BackendPlace& place) {
  return read_answer(place, ask(place, false));
}

std::vector<ListedBackend> list_devices(const Asking& how) {
  std::vector<ListedBackend> all;
  for (const BackendPlace& place : backend_places()) all.push_back(list_devices_of(place, how));
  return all;
}

}  // namespace godwit::device
