#include "train/admission.h"

#include <fmt/format.h>

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

}  // namespace

Result<void> check_admission(TrainingTask& task, const RunOptions& options) {
  if (!device::brings_driver(options.device.backend)) return {};
  TRY_ASSIGN(const guard::DeviceIdentity device, guard::identify(options.device));
  if (task.setup().settings.run.admits_any) {
    log_warning("{} computes without having been qualified: [guard] admit = \"any\"", device.text());
    return {};
  }
  TRY_ASSIGN(const guard::Admission admission, guard::Trust().admits(device, programs_digest(device_programs(task, options.workers))));
  if (!admission.admitted) {
    return input_error("{} may not compute this run: {}. Qualify it: {}; or take it as it is: --set guard.admit=any", device.text(),
                       admission.why, qualify_line(device, options));
  }
  log_info("{}: {}", device.text(), admission.why);
  task.admit(device);
  return {};
}

}  // namespace godwit::train
