#include "train/admission.h"

#include <fmt/format.h>

#include <algorithm>

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

// The command that would qualify the device for this run.
std::string qualify_line(const guard::DeviceIdentity& device, const RunOptions& options) {
  std::string line = fmt::format("godwit qualify {} --backend {}", quoted(options.config.string()), device.option());
  if (!device.isa.empty()) line += " --isa " + device.isa;
  if (options.workers != 1) line += fmt::format(" --workers {}", options.workers);
  for (const std::string& set : options.sets) line += " --set " + quoted(set);
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
                         admission.why, qualify_line(*device, options));
    }
    log_info("{}: {}", device->text(), admission.why);
  }
  return {};
}

Result<void> check_own_admission(const TrainingTask& task, const guard::DeviceIdentity& device) {
  if (!task.qualified_for()) return {};
  TRY_ASSIGN(const guard::Admission admission, admission_of(task, device, *task.qualified_for()));
  if (!admission.admitted) return world_error("{} may not compute this run: {}", device.text(), admission.why);
  return {};
}

}  // namespace godwit::train
