// Whether a device computes a run's programs right: every op of them as it stands there, by bits, under whatever has been seen to bring out
// a chip's faults: values at the edges, other inputs in the same place, repetition, two at once, heat.
//
// The device lives in a process of its own and is ordered what to do; what is expected comes from another, on the trusted CPU. The calling
// process loads no backend and must have one thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "qualify/qualification.h"
#include "train/roll_out.h"

namespace godwit::qualify {

struct Options {
  std::filesystem::path config;
  std::vector<std::string> sets;
  device::DeviceOptions device;
  int workers = 1;                     // of the run: its passes are cut for them
  train::OpenRollOuts open_roll_outs;  // for a config with [rl]
  bool brief = false;                  // no warm phase, and less of everything else
  double warm_seconds = 70;            // that the device computes, reading and comparing not counted
  double patience_s = 60;              // that one call may take
  std::string lie;                     // words of a device::Deceit; empty: the device is what it is
  std::function<void(double share, const std::string& text)> progress = [](double, const std::string&) {};
  std::function<bool()> interrupted = [] { return false; };
};

// Tries the device and tells what was found. An error: the config is wrong, the device is not there, the machine failed; not that the
// device is wrong.
[[nodiscard]] Result<Qualification> qualify(const Options& options);

// Notes the outcome in what is known of devices. A device that was made to lie is not noted.
[[nodiscard]] Result<void> note(const Qualification& qualification);

}  // namespace godwit::qualify
