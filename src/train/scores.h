// Scores from outside: what becomes of them before a step may use them.
//
// RUN/rewards/STEP.json is two lines. The first is an object: "step", the step (the first is 1) whose completions they are of;
// "completions", for each prompt the SHA-256 of its completions; "scores", for each prompt a list of numbers, one for each completion. The
// second line is the first one's SHA-256, which the journal's line of every step that was made with it names too. A file is never written
// over while a committed step counts on it.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "train/roll_out.h"
#include "train/setup.h"

namespace godwit::train {

struct Scores {
  std::uint64_t step = 0;
  Digest digest;                    // of the record's first line
  std::vector<ScoredGroup> groups;  // by prompt
};

[[nodiscard]] std::filesystem::path scores_path(const std::filesystem::path& directory, std::uint64_t step);
// Durable on return.
[[nodiscard]] Result<void> write_scores(const std::filesystem::path& directory, std::uint64_t step, std::span<const ScoredGroup> groups);
// Nothing where there is no such file. An error of kind differs if it is not what was written.
[[nodiscard]] Result<std::optional<Scores>> read_scores(const std::filesystem::path& directory, std::uint64_t step);
// Of which steps there are records, ascending.
[[nodiscard]] Result<std::vector<std::uint64_t>> scored_steps(const std::filesystem::path& directory);
// Those that a step is made with, `step` being the number of steps committed before it. Nothing also where the run takes none.
[[nodiscard]] Result<std::optional<Scores>> scores_for(const Setup& setup, const store::RunDirectory& run, std::uint64_t step);

// What the journal's line of a step says of its scores, and what such a note says; nothing of any other note.
[[nodiscard]] std::string scores_note(const Scores& scores);
struct NotedScores {
  std::uint64_t step = 0;
  Digest digest;
};
[[nodiscard]] std::optional<NotedScores> noted_scores(std::string_view note);

}  // namespace godwit::train
