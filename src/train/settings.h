// What [model], [tokenizer], [optimizer] and [run] say, as the training task uses it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/config.h"
#include "program/tensor.h"
#include "train/schedule.h"

namespace godwit::train {

struct OptimizerSettings {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;
  bool decay_matrices_only = true;
  double clip = 1.0;
  Schedule schedule;
  double router_bias_speed = 0;
  double balance_loss = 0;
  double mtp_loss = 0;
};

struct RunSettings {
  std::int64_t steps = 0;
  std::uint64_t seed = 0;
  program::Dtype dtype = program::Dtype::f32;
  std::int64_t checkpoint_every = 0;
  std::int64_t evaluate_every = 0;
  std::int64_t keep_last = 2;
  std::int64_t keep_every = 0;
  bool recompute = false;
  std::string verify = "inline";  // [guard]
  double replay_share = 1.0 / 32;
  bool admits_any = false;       // devices that nobody has qualified
  std::int64_t batch = 8;        // samples per step
  std::int64_t micro_batch = 0;  // samples per pass: a power of two, or the whole batch
};

struct Settings {
  OptimizerSettings optimizer;
  RunSettings run;
};

// Keys of [model], [tokenizer], [optimizer] and [run].
[[nodiscard]] std::vector<ConfigKey> config_keys();
// Reads and checks what single keys cannot: errors name both values.
[[nodiscard]] Result<Settings> read_settings(const Config& config);

}  // namespace godwit::train
