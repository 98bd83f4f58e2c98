// metrics.jsonl: one object per committed step, for people and plots. Not part of the state; cut back to the step a run resumes from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "train/engine.h"

namespace godwit::train {

class Metrics {
 public:
  // Opens or creates; lines of steps after `step`, and a torn last line, are cut off.
  [[nodiscard]] static Result<Metrics> open(const std::filesystem::path& path, std::uint64_t step);
  // Members: step, loss, lr, grad_norm, tokens, tokens_per_s; mtp_loss, balance_loss, expert_load (most loaded expert over the mean, by MoE
  // layer) and validation_loss where there are any.
  [[nodiscard]] Result<void> append(std::uint64_t step, const Proposal& proposal, const Applied& applied, double tokens_per_s,
                                    std::optional<double> validation_loss);

 private:
  explicit Metrics(AppendFile file) : file_(std::move(file)) {}
  AppendFile file_;
};

// Most loaded expert over the mean load.
[[nodiscard]] double expert_load(const std::vector<std::int32_t>& counts);

}  // namespace godwit::train
