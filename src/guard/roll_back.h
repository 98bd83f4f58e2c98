// Where a run that diverges goes back to: which committed steps are made again on the trusted CPU. A pure function.
//
// A run is deterministic: going back and making the same steps again gives the same bits, however often. One thing can come of it all the
// same: where a device lied and nothing noticed, the trusted CPU does not give what was committed. The run is made anew from there. Where
// everything comes out as committed, as far back as is looked, it is the training that diverges, and its owner has to decide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace godwit::guard {

// Steps to make again: from the state of a checkpoint (0: from the beginning, if there is none) up to this step.
struct Stretch {
  std::uint64_t from = 0, to = 0;
  friend bool operator==(const Stretch&, const Stretch&) = default;
};

inline constexpr std::size_t stretches_max = 3;    // of one divergence: a longer past is an audit's to look at
inline constexpr std::uint64_t made_anew_max = 3;  // times in a run's life: a machine that lies so often is not one to train on

// `good`: the last step before those that left their batch out; `head`: the last committed one. `reproduced`: stretches that came out as
// committed, in the order in which they were looked at: the newest first. `made_anew`: how often the run has been. Nothing: enough was
// done.
[[nodiscard]] std::optional<Stretch> next_stretch(std::span<const std::uint64_t> checkpoints, std::uint64_t good, std::uint64_t head,
                                                  std::span<const Stretch> reproduced, std::uint64_t made_anew);

}  // namespace godwit::guard
