// metrics.jsonl: one object per committed step, for people and plots. Not part of the state; cut back to the step a run resumes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "store/append_later.h"

namespace godwit::train {

// Tokens per second: of the whole step, and, where the model writes its own samples, of writing them and of all the rest.
struct Speed {
  double all = 0;
  std::optional<double> roll_out = {}, update = {};
};
[[nodiscard]] Speed speed_of(double tokens, double seconds, double writing_s);

// A file of lines of JSON with a step each, ascending, cut back behind the last whole line of a step up to `step`.
struct StepLines {
  AppendFile file;
  std::string last_line;  // empty: none
  Json last;
};
[[nodiscard]] Result<StepLines> open_step_lines(const std::filesystem::path& path, std::uint64_t step);

class Metrics {
 public:
  // Opens or creates; lines of steps after `step`, and a torn last line, are cut off.
  [[nodiscard]] static Result<Metrics> open(const std::filesystem::path& path, std::uint64_t step);
  // Members: step, then the step's facts (loss, lr, grad_norm, tokens; mtp_loss, balance_loss and expert_load, the most loaded expert over
  // the mean by MoE layer, where there are any; skipped where the batch was left out), and behind tokens how fast they were.
  // Never waits for the disk.
  void append(std::uint64_t step, const Json& facts, const Speed& speed);
  // Gives the last line its validation_loss, once.
  void add_validation_loss(double loss);

  // What the last line says: nothing where there is none, or no such member.
  [[nodiscard]] std::optional<std::uint64_t> step() const;
  [[nodiscard]] std::optional<double> validation_loss() const;

 private:
  Metrics(AppendFile file, const std::string& last_line, Json last)
      : file_(std::make_unique<store::AppendLater>(std::move(file), last_line)), last_(std::move(last)) {}

  std::unique_ptr<store::AppendLater> file_;
  Json last_;
};

// Most loaded expert over the mean load.
[[nodiscard]] double expert_load(const std::vector<std::int32_t>& counts);

}  // namespace godwit::train
