#include "device/listing.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "base/clock.h"
#include "base/json.h"

namespace godwit::device {

namespace {

// A string of fixed size as a library left it, perhaps without its end.
template <std::size_t size>
std::string text_of(const char (&characters)[size]) {
  return {characters, strnlen(characters, size)};
}

// In the child: one JSON document of what the library says.
Json ask(const BackendPlace& place) {
  const auto loaded = load_backend(place);
  if (!loaded.ok()) return Json{{"error", loaded.error().message}};
  const godwit_backend& backend = **loaded;
  Json devices = Json::array();
  std::string trouble;
  for (std::int32_t index = 0; index < backend.device_count(); ++index) {
    godwit_device_info info{};
    info.struct_size = sizeof info;
    godwit_error error{};
    if (backend.device_describe(index, &info, &error) != GODWIT_OK) {
      trouble += fmt::format("{}device {}: {}", trouble.empty() ? "" : "; ", index, text_of(error.message));
      continue;
    }
    Json profiles = Json::array();
    for (const char* const* profile = info.profiles; profile != nullptr && *profile != nullptr; ++profile) profiles.push_back(*profile);
    devices.push_back({{"number", index},
                       {"name", text_of(info.name)},
                       {"driver", text_of(info.driver)},
                       {"memory_bytes", info.memory_bytes},
                       {"profiles", profiles}});
  }
  return Json{{"version", fmt::format("{}.{}", backend.major, backend.minor)}, {"devices", devices}, {"error", trouble}};
}

ListedBackend read_answer(const BackendPlace& place, const Json& json) {
  ListedBackend listed{place, json.value("version", std::string()), {}, json.value("error", std::string())};
  if (const Json* devices = json.find("devices"); devices != nullptr) {
    for (const Json& each : *devices) {
      listed.devices.push_back({each["number"].get<int>(), each["name"].string(), each["driver"].string(),
                                each["memory_bytes"].get<std::int64_t>(), each["profiles"].get<std::vector<std::string>>()});
    }
  }
  return listed;
}

// Everything that comes before the other end is closed, or before the patience ends: then false.
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
  }
}

}  // namespace

ListedBackend list_devices_of(const BackendPlace& place, int patience_ms) {
  ListedBackend listed{place, "", {}, ""};
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
    const std::string text = write_json(ask(place));
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
  const bool answered = read_all(ends[0], monotonic_seconds() + patience_ms / 1e3, text);
  ::close(ends[0]);
  if (!answered) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!answered) {
    listed.error = fmt::format("it did not answer within {} s", patience_ms / 1000.0);
    return listed;
  }
  const auto json = parse_json(text, place.name);
  if (!json.ok()) {
    listed.error = WIFSIGNALED(status) ? fmt::format("asking for its devices ended the process: {}", strsignal(WTERMSIG(status)))
                                       : "asking for its devices ended the process";
    return listed;
  }
  return read_answer(place, *json);
}

ListedBackend list_devices_here(const BackendPlace& place) {
  return read_answer(place, ask(place));
}

std::vector<ListedBackend> list_devices(int patience_ms) {
  std::vector<ListedBackend> all;
  for (const BackendPlace& place : backend_places()) all.push_back(list_devices_of(place, patience_ms));
  return all;
}

}  // namespace godwit::device
