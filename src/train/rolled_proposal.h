// A proposal whose samples the model writes itself (roll_out.h): what workers do with a prompt, and whoever replays a step.
#pragma once

#include <functional>
#include <span>

#include "train/gradient.h"
#include "train/roll_out.h"

namespace godwit::train {

// Bytes from one record to the next.
[[nodiscard]] std::int64_t record_stride(const RollOuts* roll_outs);

// Lets the model write, and leaves the node of what it wrote in `node` and a record for each prompt in `records`, record_stride apart.
// `step`: as RollOut counts them. `training` is told when the training program begins (true) and has ended (false).
[[nodiscard]] Result<void> propose_rolled(Proposer& proposer, RollOut& roll_out, const RollOuts& roll_outs,
                                          std::span<const data::Sample> prompts, std::uint64_t step, NodeAt node, std::span<std::byte> records, const std::function<void(bool)>& training,
                                          const std::function<bool()>& interrupted);

}  // namespace godwit::train
