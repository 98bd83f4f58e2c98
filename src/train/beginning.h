// How a run begins, and what a step leaves of its scalars: for whoever makes steps of a run.
#pragma once

#include <functional>
#include <optional>

#include "train/programs.h"
#include "train/setup.h"
#include "train/state.h"

namespace godwit::train {

// The state of step 0: random weights, or those of [model] init, also in a run that was begun long ago. `beat` is called now and then; may
// be empty.
[[nodiscard]] Result<void> begin_run(const Setup& setup, State& state, const std::function<void()>& beat = nullptr);

// What the step takes that follows a state of `step` committed steps, and whose cursor this is; moves it behind them.
[[nodiscard]] Result<std::vector<data::Sample>> next_samples(const Setup& setup, std::uint64_t step, data::Cursor& cursor);

// The scalars after the next step: with its proposal, or, where its batch was left out, without.
[[nodiscard]] RunScalars after_step(RunScalars scalars, const std::optional<Proposal>& proposal);

}  // namespace godwit::train
