// A training run: its directory's life from first start to finish, through every stop and resume.
//
// A step is committed when its line is in the journal. Whatever ends the process, the same command goes on: from the newest good
// checkpoint, replaying steps whose digests the journal already holds and comparing with them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/digest.h"
#include "device/device.h"
#include "guard/placement.h"
#include "train/programs.h"
#include "train/roll_out.h"

namespace godwit::train {

// For whoever shows the run to people.
struct Progress {
  std::uint64_t step = 0;
  std::uint64_t steps = 0;
  float loss = 0;
  double tokens_per_s = 0;
  double seconds_left = 0;
  std::optional<double> validation_loss;  // where this step was evaluated
  // Of roll-outs: means over the step's completions.
  struct Rolled {
    double reward = 0, accuracy = 0, thinking = 0;
  };
  std::optional<Rolled> rolled;
};

struct RunOptions {
  std::filesystem::path config;
  std::filesystem::path directory;
  std::vector<std::string> sets;  // --set section.key=value
  device::DeviceOptions device;
  int workers = 1;                   // processes that compute; 0: this process does everything
  std::vector<guard::Place> places;  // where they sit: one for all, or one for each; empty: where `device` says
  OpenRollOuts open_roll_outs;       // for a config with [rl], no other is taken then; empty: such a config is refused
  std::filesystem::path faults;      // a story whose faults strike this run; empty: none
  bool dry_run = false;
  std::function<void(const Progress&)> progress;     // after each committed step; may be empty
  std::function<void(double share)> tokenizing;      // while text becomes tokens; may be empty
  std::function<void(const std::string& text)> say;  // one line for people; may be empty
  // After `progress`, on a device with `profile`: the programs, with the times of their ops up to this step; may be empty.
  std::function<Result<void>(std::span<const device::Executable* const> programs)> profiled;
  std::function<bool()> interrupted = [] { return false; };  // true: stop at the next step's border or sooner
};

struct RunResult {
  std::uint64_t step = 0;
  Digest digest;
  std::optional<double> validation_loss;  // of the last evaluation in this process
  bool finished = false;                  // false: stopped on request; resumable by the same command
  Figures figures;
  std::string plan;  // for --dry-run: a table of the figures
};

// All keys a training config takes, and the open section [model].
[[nodiscard]] std::vector<ConfigKey> all_config_keys();
[[nodiscard]] std::vector<OpenSection> open_config_sections();

[[nodiscard]] Result<RunResult> train(const RunOptions& options);

}  // namespace godwit::train
