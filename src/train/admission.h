// Who may compute a run: the trusted CPU always; a device whose backend is loaded at run time, once it is qualified for the run's programs
// (guard/trust.h), or where [guard] admit = "any" takes whatever there is.
#pragma once

#include "train/device_programs.h"
#include "train/run.h"

namespace godwit::train {

// An input error says what is missing and the `godwit qualify` line that brings it. What was admitted is noted in the task, for its workers
// to look again. Asks the backend in a process of its own: nothing is loaded here.
[[nodiscard]] Result<void> check_admission(TrainingTask& task, const RunOptions& options);

}  // namespace godwit::train
