// godwit devices: every backend and its devices, and why one of them cannot be had.
#include <fmt/format.h>

#include "base/json.h"
#include "cli/command.h"
#include "cli/common.h"
#include "device/listing.h"

namespace godwit::cli {
namespace {

Json as_json(const std::vector<device::ListedBackend>& backends) {
  Json list = Json::array();
  for (const device::ListedBackend& backend : backends) {
    Json devices = Json::array();
    for (std::size_t i = 0; i < backend.devices.size(); ++i) {
      const device::ListedDevice& device = backend.devices[i];
      devices.push_back({{"index", i},
                         {"name", device.name},
                         {"driver", device.driver},
                         {"memory_bytes", device.memory_bytes},
                         {"profiles", device.profiles}});
    }
    Json entry = {{"name", backend.place.name}, {"devices", devices}};
    entry["library"] = backend.place.library.empty() ? Json() : Json(backend.place.library.string());
    entry["version"] = backend.version.empty() ? Json() : Json(backend.version);
    entry["error"] = backend.error.empty() ? Json() : Json(backend.error);
    list.push_back(std::move(entry));
  }
  return {{"backends", list}};
}

Result<void> print_text(const std::vector<device::ListedBackend>& backends) {
  for (const device::ListedBackend& backend : backends) {
    TRY(print(fmt::format("{}{}{}\n", backend.place.name, backend.version.empty() ? "" : "  backend.h " + backend.version,
                          backend.place.library.empty() ? "" : "  " + backend.place.library.string())));
    for (std::size_t i = 0; i < backend.devices.size(); ++i) {
      const device::ListedDevice& device = backend.devices[i];
      TRY(print(fmt::format("  {}  {}; driver {}; {:.1f} GB; {}\n", i, device.name, device.driver,
                            static_cast<double>(device.memory_bytes) / 1e9, fmt::join(device.profiles, ", "))));
    }
    if (!backend.error.empty()) TRY(print(fmt::format("  not to be had: {}\n", backend.error)));
    if (backend.error.empty() && backend.devices.empty()) TRY(print("  no device\n"));
  }
  return {};
}

}  // namespace

extern const Command devices;
const Command devices{
    .name = "devices",
    .summary = "List the backends there are and their devices.",
    .declare = [](App app) -> CommandBody {
      auto json = std::make_shared<bool>(false);
      app.add_flag("--json", *json, "Print one JSON document");
      return [json]() -> Result<int> {
        const std::vector<device::ListedBackend> backends = device::list_devices();
        if (*json) {
          TRY(print_json(as_json(backends)));
        } else {
          TRY(print_text(backends));
        }
        return exit_finished;
      };
    },
};

}  // namespace godwit::cli
