// Audit: a committed step made again by the references, and compared with what the journal says.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "base/digest.h"
#include "base/error.h"
#include "device/device.h"
#include "device/lockstep.h"
#include "train/roll_out.h"

namespace godwit::train {

struct AuditOptions {
  std::filesystem::path directory;
  std::uint64_t step = 0;
  device::DeviceOptions device;                                         // that replays the steps before it
  OpenRollOuts open_roll_outs;                                          // for a run with [rl]
  std::function<void(double share, const std::string& text)> progress;  // may be empty
  std::function<bool()> interrupted = [] { return false; };
};

struct Audit {
  std::uint64_t from = 0;  // the checkpoint it began with, or 0
  std::uint64_t step = 0;  // the one that was made by the references: the one asked for, or an earlier one that differs on the way
  bool equal = false;
  Digest committed;  // by the journal
  Digest reference;
  // Where it differs: what the device makes of the step, and the first of its ops that is not the reference's, if there is one.
  std::optional<Digest> device;
  std::optional<device::OpDifference> op;
  std::string said;  // for people
};

// Loads the newest good checkpoint before the step (or begins as the run does), replays up to it on the device, comparing each digest with
// the journal's, and makes the step by the references. Reads the run's directory only. A journal whose chain is broken is an error of kind
// differs that names the line; a step it does not hold, of kind input.
[[nodiscard]] Result<Audit> audit(const AuditOptions& options);

}  // namespace godwit::train
