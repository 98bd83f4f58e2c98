// Who may compute a run: the trusted CPU always; a device whose backend is loaded at run time, once it is qualified for the run's programs
// (guard/trust.h), or where [guard] admit = "any" takes whatever there is.
#pragma once

#include "train/device_programs.h"
#include "train/run.h"

namespace godwit::train {

// Of the places the run is started with: an input error says what is missing and the `godwit qualify` line that brings it. Backends are
// asked in processes of their own, nothing is loaded here. The task's workers look again, for they may be moved, and devices change.
[[nodiscard]] Result<void> check_admission(TrainingTask& task, const RunOptions& options);
// In a worker, which loads the backend.
[[nodiscard]] Result<void> check_own_admission(const TrainingTask& task, const guard::DeviceIdentity& device);

}  // namespace godwit::train
