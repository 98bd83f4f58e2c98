#include "guard/identity.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/file.h"
#include "device/backends.h"
#include "guard/sandbox.h"

namespace godwit::guard {

namespace {

std::string library_digest(const device::BackendPlace& place) {
  if (place.library.empty()) return "";
  const Result<MappedFile> file = MappedFile::open(place.library);
  return file.ok() ? hex(sha256(file->bytes())) : "unknown";
}

Result<DeviceIdentity> chosen(const device::DeviceOptions& options, const device::ListedBackend& listed) {
  for (const device::ListedDevice& each : listed.devices) {
    if (each.number == options.number) return identity_of(listed, each, options.isa);
  }
  if (!listed.error.empty()) return world_error("backend {}: {}", options.backend, listed.error);
  return input_error("backend {} has no device {}; it has {}", options.backend, options.number, listed.devices.size());
}

}  // namespace

std::string DeviceIdentity::option() const {
  return number == 0 ? backend : fmt::format("{}:{}", backend, number);
}

std::string DeviceIdentity::text() const {
  return fmt::format("{}:{} {}, driver {}{}", backend, number, name, driver, isa.empty() ? "" : ", " + isa);
}

device::Asking confined_asking() {
  return {.confine = [] { confine_early(true); }};
}

Result<DeviceIdentity> identify(const device::DeviceOptions& options) {
  TRY_ASSIGN(const device::BackendPlace place, device::backend_place(options.backend));
  return chosen(options, device::list_devices_of(place, confined_asking()));
}

Result<DeviceIdentity> identify_here(const device::DeviceOptions& options) {
  TRY_ASSIGN(const device::BackendPlace place, device::backend_place(options.backend));
  return chosen(options, device::list_devices_here(place));
}

DeviceIdentity identity_of(const device::ListedBackend& backend, const device::ListedDevice& device, const std::string& isa) {
  return {backend.place.name, device.number, device.name, device.driver, library_digest(backend.place), isa};
}

std::string identity_difference(const DeviceIdentity& then, const DeviceIdentity& now) {
  std::string text;
  const auto compare = [&](std::string_view what, const std::string& before, const std::string& after) {
    if (before != after) text += fmt::format("{}{} {} then, {} now", text.empty() ? "" : "; ", what, before, after);
  };
  compare("backend", then.backend, now.backend);
  compare("number", std::to_string(then.number), std::to_string(now.number));
  compare("name", then.name, now.name);
  compare("driver", then.driver, now.driver);
  compare("library", then.library.substr(0, 16), now.library.substr(0, 16));
  compare("isa", then.isa.empty() ? "of its own choice" : then.isa, now.isa.empty() ? "of its own choice" : now.isa);
  return text;
}

}  // namespace godwit::guard
