// Where a run's state comes from: a checkpoint, or the run's beginning. And what a step leaves of its scalars. Shared by whoever makes
// steps of a run.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/checkpoint.h"
#include "store/run_directory.h"
#include "train/programs.h"
#include "train/setup.h"
#include "train/state.h"

namespace godwit::train {

// The state of step 0: random weights, or those of [model] init, also in a run that was begun long ago. `beat` is called now and then; may
// be empty.
[[nodiscard]] Result<void> begin_run(const Setup& setup, State& state, const std::function<void()>& beat = nullptr);

// The newest good checkpoint of at most step `last`; nothing if there is none, and the state's content is undefined then. What each one
// that was not good had, newest first, comes in `refused`.
[[nodiscard]] Result<std::optional<store::CheckpointInfo>> load_until(const store::RunDirectory& run, std::uint64_t last, State& state,
                                                                      std::vector<std::string>& refused,
                                                                      const std::function<void()>& beat = nullptr);

// The scalars after the next step: with its proposal, or, where its batch was left out, without.
[[nodiscard]] RunScalars after_step(RunScalars scalars, const std::optional<Proposal>& proposal);

}  // namespace godwit::train
