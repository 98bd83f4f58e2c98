// One training run of a preset on random ids, measured: the run itself as `godwit train` does it, in a temporary run directory, so that
// data, digest and journal are in the time of a step. Unless a job says otherwise, one process does everything and nothing is checked: what
// is compared with the machine's ceilings is the arithmetic alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "model/deepseek_v3_config.h"
#include "train/engine.h"

namespace godwit::bench {

struct TrainingJob {
  std::string preset;
  std::string dtype;  // "f32", "bf16"
  std::int64_t batch = 4;
  std::int64_t sequence = 256;
  int workers = 0;
  std::string verify = "off";         // [guard] verify
  std::int64_t replay = 0;            // [guard] replay: one proposal in so many is confirmed
  std::int64_t checkpoint_every = 0;  // steps

  [[nodiscard]] std::string name() const { return preset + " " + dtype; }
  [[nodiscard]] std::int64_t tokens() const { return batch * sequence; }
};

struct TrainingFigures {
  double tokens_per_s = 0;  // median over the steps after the warm-up
  std::int64_t steps = 0;   // that it is the median of
  std::optional<OpTable> ops;
  std::vector<double> step_seconds;  // of these steps, each from the commit before to its own: whatever a run does between steps is in
};

// Trains for about `seconds` of steps, at least `steps_least` of them. On a device opened with `profile` the figures have a table of ops;
// that takes a job without workers, whose ops are counted in this process.
[[nodiscard]] Result<TrainingFigures> run_training(Context& context, const TrainingJob& job, const device::DeviceOptions& device,
                                                   double seconds, std::uint64_t steps_least = 3);

// What a run of the job is made of, in the directory: rows.json with random ids and config.toml, whose path is returned.
[[nodiscard]] Result<std::filesystem::path> write_job(const std::filesystem::path& directory, const TrainingJob& job, std::int64_t steps);

[[nodiscard]] model::DeepseekV3Config preset_config(std::string_view preset);

// The middle one, or the mean of the two in the middle.
[[nodiscard]] double median(std::vector<double> values);

}  // namespace godwit::bench
