// Roll-outs: the model writes completions to prompts whose answers can be verified, and is rewarded for them.
#pragma once

#include <memory>
#include <span>

#include "data/document.h"
#include "data/problems.h"
#include "rl/reward.h"
#include "text/tokenizer.h"
#include "train/rl_settings.h"
#include "train/roll_out.h"

namespace godwit::rl {

// What [rl] describes. An input error names the key: a task or reward that does not exist, a tokenizer without an end or a thinking token.
[[nodiscard]] Result<train::OpenedRollOuts> open_roll_outs(const Config& config, const train::Settings& settings, const model::Model& model,
                                                           const text::Tokenizer* tokenizer);

// Ids that follow a prompt, up to and with the end token if there is one.
[[nodiscard]] Result<Completion> read_completion(std::span<const std::int32_t> ids, std::int64_t tokens_max,
                                                 const text::Tokenizer& tokenizer, const data::DocumentTokens& tokens);

// The text of a completion's ids; those that are none of the tokenizer's are left out.
[[nodiscard]] Result<std::string> text_of(std::span<const std::int32_t> ids, const text::Tokenizer& tokenizer);

// Problems as a stream of prompts: nothing of them is labelled. A task's in their order; a file's in another order at each pass. Problems,
// and the tokenizer, outlive it.
[[nodiscard]] std::unique_ptr<data::Dataset> make_prompts(const data::Problems& problems, const text::Tokenizer& tokenizer,
                                                          std::uint64_t seed);
// The problem of the stream's prompt `index`.
[[nodiscard]] data::Problem problem_at(const data::Problems& problems, std::uint64_t seed, std::uint64_t index);

}  // namespace godwit::rl
