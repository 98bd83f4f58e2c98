// A proposal whose samples the model writes itself (roll_out.h): what workers do with a prompt, and whoever replays a step.
#pragma once

#include <functional>
#include <span>

#include "train/gradient.h"
#include "train/roll_out.h"

namespace godwit::train {

// Bytes from one record to the next.
[[nodiscard]] std::int64_t record_stride(const RollOuts* roll_outs);

// Both return the seconds that writing took.
//
// Where rewards come from outside, the first of two parts: lets the model write, and leaves what is asked about in `question`, as an area
// of completions. question_bytes: what that takes, for the groups of so many prompts.
[[nodiscard]] std::int64_t question_bytes(const RollOuts& roll_outs, std::int64_t prompts);
[[nodiscard]] Result<double> write_question(RollOut& roll_out, std::span<const data::Sample> prompts, std::uint64_t step,
                                            std::span<std::byte> question, const std::function<bool()>& interrupted);

// Lets the model write, and leaves the node of what it wrote in `node` and a record for each prompt in `records`, record_stride apart.
// `step`: as RollOut counts them. `scored`: by prompt, where rewards come from outside. `training` is told when the training program begins
// (true) and has ended (false).
[[nodiscard]] Result<double> propose_rolled(Proposer& proposer, RollOut& roll_out, const RollOuts& roll_outs,
                                            std::span<const data::Sample> prompts, std::span<const ScoredGroup> scored, std::uint64_t step,
                                            NodeAt node, std::span<std::byte> records, const std::function<void(bool)>& training,
                                            const std::function<bool()>& interrupted);

}  // namespace godwit::train
