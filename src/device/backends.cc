#include "device/backends.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <system_error>

#include "device/backend_call.h"
#include "device/fallback.h"

extern "C" const godwit_backend* godwit_cpu_backend(void);
extern "C" const godwit_backend* godwit_reference_backend(void);

namespace godwit::device {

namespace fs = std::filesystem;

namespace {

struct Linked {
  const char* name;
  const godwit_backend* (*entry)();
};
constexpr Linked linked_backends[] = {{"cpu", &godwit_cpu_backend}, {"reference", &godwit_reference_backend}};

constexpr std::string_view prefix = "libgodwit_backend_";
constexpr std::string_view suffix = ".so";

std::vector<fs::path> search_path() {
  std::vector<fs::path> path;
  if (const char* given = std::getenv("GODWIT_BACKEND_PATH"); given != nullptr) {
    std::string_view rest = given;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(':'), rest.size());
      if (end > 0) path.emplace_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  std::error_code unknown;
  const fs::path beside = fs::read_symlink("/proc/self/exe", unknown).parent_path();
  if (unknown) return path;
  // build/PRESET/godwit and build/PRESET/NAME_test; build/PRESET/tests/NAME_test; PREFIX/bin/godwit.
  for (const char* relative : {".", "backends", "../backends", GODWIT_INSTALLED_BACKENDS}) path.push_back(beside / relative);
  return path;
}

}  // namespace

std::vector<BackendPlace> backend_places() {
  std::vector<BackendPlace> places;
  for (const Linked& linked : linked_backends) places.push_back({linked.name, {}});
  const std::size_t linked_count = places.size();
  for (const fs::path& directory : search_path()) {
    std::error_code unreadable;
    for (const fs::directory_entry& entry : fs::directory_iterator(directory, unreadable)) {
      const std::string file = entry.path().filename().string();
      if (file.size() <= prefix.size() + suffix.size() || !file.starts_with(prefix) || !file.ends_with(suffix)) continue;
      const std::string name = file.substr(prefix.size(), file.size() - prefix.size() - suffix.size());
      if (std::ranges::find(places, name, &BackendPlace::name) == places.end())
        places.push_back({name, fs::absolute(entry.path()).lexically_normal()});
    }
  }
  std::sort(places.begin() + static_cast<std::ptrdiff_t>(linked_count), places.end(),
            [](const BackendPlace& a, const BackendPlace& b) { return a.name < b.name; });
  return places;
}

Result<BackendPlace> backend_place(std::string_view name) {
  const std::vector<BackendPlace> places = backend_places();
  const auto found = std::ranges::find(places, name, &BackendPlace::name);
  if (found != places.end()) return *found;
  std::vector<std::string> names;
  for (const BackendPlace& place : places) names.push_back(place.name);
  return input_error("there is no backend '{}'; there are: {}", name, fmt::join(names, ", "));
}

DeviceChoice parse_device_choice(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  DeviceChoice choice;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), choice.number);
  const bool is_number = !digits.empty() && failed == std::errc() && end == digits.data() + digits.size() && choice.number >= 0;
  if (!is_number) return {std::string(text), 0};
  choice.backend = text.substr(0, colon);
  return choice;
}

bool brings_driver(std::string_view name) {
  const Result<BackendPlace> place = backend_place(name);
  return place.ok() && !place->library.empty();
}

Result<godwit_backend> adopt_table(const godwit_backend& table) {
  constexpr std::size_t first_minor = offsetof(godwit_backend, abort) + sizeof table.abort;
  if (table.major != GODWIT_BACKEND_MAJOR)
    return world_error("it speaks version {}.{} of godwit/backend.h, this program {}.{}", table.major, table.minor, GODWIT_BACKEND_MAJOR,
                       GODWIT_BACKEND_MINOR);
  if (table.struct_size < first_minor)
    return world_error("its table has {} bytes, of version {}.0 it would have {}", table.struct_size, GODWIT_BACKEND_MAJOR, first_minor);
  godwit_backend adopted{};
  std::memcpy(&adopted, &table, std::min<std::size_t>(table.struct_size, sizeof adopted));
  adopted.struct_size = sizeof adopted;
  return adopted;
}

Result<const godwit_backend*> load_backend(const BackendPlace& place) {
  for (const Linked& linked : linked_backends) {
    if (place.library.empty() && place.name == linked.name) return linked.entry();
  }
  static std::mutex mutex;
  static std::map<fs::path, std::unique_ptr<godwit_backend>> loaded;
  const std::lock_guard lock(mutex);
  if (const auto known = loaded.find(place.library); known != loaded.end()) return known->second.get();
  const auto refused = [&](std::string_view why) { return world_error("backend {}: {}: {}", place.name, place.library.string(), why); };
  const InCall in(InCall::load);
  void* library = dlopen(place.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return refused(dlerror());
  using Entry = const godwit_backend* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "godwit_backend_entry"));
  if (entry == nullptr) return refused("it does not export godwit_backend_entry");
  const godwit_backend* table = entry();
  if (table == nullptr) return refused("it has no table");
  const Result<godwit_backend> adopted = adopt_table(*table);
  if (!adopted.ok()) return refused(adopted.error().message);
  if (adopted->name != place.name) return refused(fmt::format("it calls itself {}", adopted->name));
  return (loaded[place.library] = std::make_unique<godwit_backend>(*adopted)).get();
}

Result<const godwit_backend*> find_backend(std::string_view name) {
  TRY_ASSIGN(const BackendPlace place, backend_place(name));
  return load_backend(place);
}

Result<const godwit_backend*> find_completed_backend(std::string_view name) {
  TRY_ASSIGN(const BackendPlace place, backend_place(name));
  TRY_ASSIGN(const godwit_backend* backend, load_backend(place));
  return place.library.empty() ? backend : &completed(*backend);
}

}  // namespace godwit::device
