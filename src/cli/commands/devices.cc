// godwit devices: every backend and its devices, what is known of them from earlier runs, and why one of them cannot be had.
#include <fmt/format.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/common.h"
#include "device/listing.h"
#include "guard/identity.h"
#include "guard/trust.h"

namespace godwit::cli {
namespace {

// What is known of a device as it is now.
guard::Standing standing_of(const std::vector<guard::TrustNote>& notes, const device::ListedBackend& backend,
                            const device::ListedDevice& device) {
  return guard::standing(notes, guard::identity_of(backend, device, ""), unix_time());
}

Json as_json(const std::vector<device::ListedBackend>& backends, const std::vector<guard::TrustNote>& notes) {
  Json list = Json::array();
  for (const device::ListedBackend& backend : backends) {
    Json devices = Json::array();
    for (const device::ListedDevice& device : backend.devices) {
      const guard::Standing standing = standing_of(notes, backend, device);
      devices.push_back({{"index", device.number},
                         {"name", device.name},
                         {"driver", device.driver},
                         {"memory_bytes", device.memory_bytes},
                         {"profiles", device.profiles},
                         {"trust", standing.word},
                         {"trust_text", standing.text},
                         {"findings", standing.findings},
                         {"quarantines", standing.quarantines}});
    }
    Json entry = {{"name", backend.place.name}, {"devices", devices}};
    Json ops = Json::array();
    for (const device::OpCoverage& each : backend.ops)
      ops.push_back({{"op", each.op}, {"examples", each.examples}, {"own", each.own}, {"by_parts", each.by_parts}});
    entry["ops"] = std::move(ops);
    entry["library"] = backend.place.library.empty() ? Json() : Json(backend.place.library.string());
    entry["version"] = backend.version.empty() ? Json() : Json(backend.version);
    entry["error"] = backend.error.empty() ? Json() : Json(backend.error);
    list.push_back(std::move(entry));
  }
  return {{"backends", list}};
}

// "ops: 1 of 46; the CPU does absorb_query, …"
std::string ops_text(const std::vector<device::OpCoverage>& ops) {
  std::vector<std::string> by_parts, by_cpu;
  std::size_t own = 0;
  for (const device::OpCoverage& each : ops) {
    own += each.own == each.examples ? 1 : 0;
    const auto some = [&](std::int64_t count) {
      return count == each.examples ? each.op : fmt::format("{} ({} of {} examples)", each.op, count, each.examples);
    };
    if (each.by_parts > 0) by_parts.push_back(some(each.by_parts));
    if (const std::int64_t rest = each.examples - each.own - each.by_parts; rest > 0) by_cpu.push_back(some(rest));
  }
  std::string text = fmt::format("  ops: {} of {}", own, ops.size());
  if (!by_parts.empty()) text += fmt::format("; by their parts {}", fmt::join(by_parts, ", "));
  if (!by_cpu.empty()) text += fmt::format("; the CPU does {}", fmt::join(by_cpu, ", "));
  return text + "\n";
}

Result<void> print_text(const std::vector<device::ListedBackend>& backends, const std::vector<guard::TrustNote>& notes) {
  for (const device::ListedBackend& backend : backends) {
    TRY(print(fmt::format("{}{}{}\n", backend.place.name, backend.version.empty() ? "" : "  backend.h " + backend.version,
                          backend.place.library.empty() ? "" : "  " + backend.place.library.string())));
    for (const device::ListedDevice& device : backend.devices) {
      const guard::Standing standing = standing_of(notes, backend, device);
      TRY(print(fmt::format("  {}  {}; driver {}; {:.1f} GB; {}\n     {}: {}\n", device.number, device.name, device.driver,
                            static_cast<double>(device.memory_bytes) / 1e9, fmt::join(device.profiles, ", "), standing.word,
                            standing.text)));
    }
    if (!backend.ops.empty()) TRY(print(ops_text(backend.ops)));
    if (!backend.error.empty()) TRY(print(fmt::format("  not to be had: {}\n", backend.error)));
    if (backend.error.empty() && backend.devices.empty()) TRY(print("  no device\n"));
  }
  return {};
}

}  // namespace

extern const Command devices;
const Command devices{
    .name = "devices",
    .summary = "List the backends there are, their devices, and which ops they have.",
    .declare = [](App app) -> CommandBody {
      auto json = std::make_shared<bool>(false);
      app.add_flag("--json", *json, "Print one JSON document");
      return [json]() -> Result<int> {
        const std::vector<device::ListedBackend> backends = device::list_devices(guard::confined_asking());
        TRY_ASSIGN(const std::vector<guard::TrustNote> notes, guard::Trust().notes());
        if (*json) {
          TRY(print_json(as_json(backends, notes)));
        } else {
          TRY(print_text(backends, notes));
        }
        return exit_finished;
      };
    },
};

}  // namespace godwit::cli
