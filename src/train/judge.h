// Whether a step's loss and gradient may become state: a pure function of the committed state and the two numbers, so that it is the same
// wherever a step is replayed.
#pragma once

#include <string>

#include "train/state.h"

namespace godwit::train {

// Losses before this many steps are not compared with their past.
inline constexpr std::uint64_t spike_after_steps = 50;

// Why they must not, for people; empty if they may. Not finite, or a spike: a loss above mean · 1.5 + 8 deviations of its own past.
[[nodiscard]] std::string doubt_of(const RunScalars& scalars, float loss, float norm);

// The statistics after a step of that loss was committed: running means with weight 1/32, in binary64, which hold no past longer than some
// hundred steps.
void remember(RunScalars& scalars, float loss);

}  // namespace godwit::train
