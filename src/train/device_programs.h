// The programs that a run's devices execute: what a device has to be qualified for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "program/program.h"
#include "train/task.h"

namespace godwit::train {

// Training, evaluation where the run evaluates, joining, and the optimizer (which runs on the device where one process does everything);
// with reinforcement learning those that write completions too. `task` was made for so many workers: its passes are theirs.
[[nodiscard]] std::vector<program::Program> device_programs(const TrainingTask& task, int workers);
// SHA-256 over them, hexadecimal.
[[nodiscard]] std::string programs_digest(const std::vector<program::Program>& programs);

// A setup's task as so many workers compute it: passes are cut so that each worker has one.
[[nodiscard]] std::unique_ptr<TrainingTask> make_task(Setup& setup, const store::RunDirectory& run, const device::DeviceOptions& device,
                                                      int workers);

}  // namespace godwit::train
