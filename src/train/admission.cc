#include "train/admission.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "base/log.h"
#include "device/backends.h"
#include "guard/trust.h"

namespace godwit::train {

namespace {

std::string quoted(const std::string& word) {
  const bool plain = word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+") == std::string::npos;
  if (plain && !word.empty()) return word;
  std::string text = "'";
  for (const char c : word) c == '\'' ? text += "'\\''" : text += c;
  return text + "'";
}

// The command that would qualify the device for a run of this config.
std::string qualify_line(const guard::DeviceIdentity& device, const std::filesystem::path& config, int workers,
                         std::span<const std::string> sets) {
  std::string line = fmt::format("godwit qualify {} --backend {}", quoted(config.string()), device.option());
  if (!device.isa.empty()) line += " --isa " + device.isa;
  if (workers != 1) line += fmt::format(" --workers {}", workers);
  for (const std::string& set : sets) line += " --set " + quoted(set);
  return line;
}

Result<guard::Admission> admission_of(const TrainingTask& task, const guard::DeviceIdentity& device, int workers) {
  return guard::Trust().admits(device, programs_digest(device_programs(task, workers)));
}

}  // namespace

Result<void> check_admission(TrainingTask& task, const RunOptions& options) {
  const bool any = task.setup().settings.run.admits_any;
  if (!any) task.ask_for_qualification(options.workers);
  std::vector<guard::Place> places = options.places;
  if (places.empty()) places.push_back({options.device.backend, options.device.number});
  for (std::size_t i = 0; i < places.size(); ++i) {
    const bool seen = std::find(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(i), places[i]) !=
                      places.begin() + static_cast<std::ptrdiff_t>(i);
    if (seen || !device::brings_driver(places[i].backend)) continue;
    const Result<guard::DeviceIdentity> device = guard::identify(task.device(places[i], options.device.threads));
    if (any && (device.ok() || device.error().kind == ErrorKind::world)) {
      log_warning("{} computes without having been qualified: [guard] admit = \"any\"", device.ok() ? device->text() : device.error().message);
      continue;
    }
    TRY(device);
    TRY_ASSIGN(const guard::Admission admission, admission_of(task, *device, options.workers));
    if (!admission.admitted) {
      return input_error("{} may not compute this run: {}. Qualify it: {}; or take it as it is: --set guard.admit=any", device->text(),
                         admission.why, qualify_line(*device, options.config, options.workers, options.sets));
    }
    log_info("{}: {}", device->text(), admission.why);
  }
  return {};
}

Result<void> check_own_admission(const TrainingTask& task, const guard::DeviceIdentity& device) {
  if (!task.qualified_for()) return {};
  const int workers = *task.qualified_for();
  TRY_ASSIGN(const guard::Admission admission, admission_of(task, device, workers));
  if (admission.admitted) return {};
  return world_error("{} may not compute this run: {}. Qualify it: {}", device.text(), admission.why,
                     qualify_line(device, task.run().config(), workers, {}));
}

}  // namespace godwit::train
