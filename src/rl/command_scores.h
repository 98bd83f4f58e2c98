// The program of [rl] command: what it is told, and what its lines mean.
//
// It reads a line of JSON for each completion of the step, and then the end of its input; it writes a line with a number for each, in their
// order. What it does not score counts 0, and is told.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/problems.h"
#include "rl/reward.h"
#include "text/tokenizer.h"
#include "train/rl_settings.h"

namespace godwit::rl {

// "prompt", "completion" (all of it as text, without the end token), "thinking", "answer", "well_formed", "finished", "truth", "score" (the
// verifier's), "tokens". `ids`: of the completion.
[[nodiscard]] Result<Json> command_line(const data::Problem& problem, const Completion& completion, std::span<const std::int32_t> ids, double score,
                                        const text::Tokenizer& tokenizer);

struct CommandScores {
  std::vector<double> scores;
  std::vector<std::string> warnings;
  std::vector<std::string> unconfined = {};  // what the kernel did not give to confine the program
};
// `trouble`: why the program did not end as it should; empty: it did. A pure function.
[[nodiscard]] CommandScores read_command_scores(std::string_view output, std::size_t count, const std::string& trouble);

// Runs the program on the lines.
[[nodiscard]] Result<CommandScores> ask_command(const train::RlSettings& settings, const std::vector<Json>& lines,
                                                const std::function<void()>& beat);

// An input error where there is no such program, or a script among its arguments is not there; `place` opens it.
[[nodiscard]] Result<void> check_command(const std::vector<std::string>& command, std::string_view place);

}  // namespace godwit::rl
