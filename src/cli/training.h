// What godwit train and godwit rl share: both start a run or go on with it.
#pragma once

#include <string>
#include <vector>

#include "cli/app.h"
#include "cli/common.h"
#include "train/roll_out.h"

namespace godwit::cli {

struct TrainingOptions {
  std::string config;
  std::string directory;
  std::vector<std::string> sets;
  int workers = 1;
  std::string verify;
  std::string faults;
  bool dry_run = false;
  bool json = false;
  ComputeOptions compute;
};

void declare_training(App app, TrainingOptions& options);
// `open_roll_outs`: empty for a command that takes no config with [rl].
[[nodiscard]] Result<int> run_training(const TrainingOptions& options, const train::OpenRollOuts& open_roll_outs);

}  // namespace godwit::cli
