// What [rl] says: where prompts come from, how many completions are written to each, and what becomes of their rewards.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/config.h"
#include "base/error.h"

namespace godwit::train {

// What a completion's reward is held against: the mean of its group's, or also divided by their standard deviation (+ 1e-4).
enum class Advantage : std::uint8_t { mean, standard };
// What the sum over tokens is divided by.
enum class Normalise : std::uint8_t {
  tokens,    // the number of completion tokens of the step (DAPO)
  sequence,  // each completion's own length, then the number of completions (GRPO as it was published)
  constant,  // max_tokens times the number of completions (Dr.GRPO)
};

// Whose ratio of probabilities, new over old, is clipped: each token's (PPO, GRPO), or the completion's geometric mean (GSPO).
enum class Ratio : std::uint8_t { token, sequence };
// The estimate of KL(model ‖ reference) that is held down: k3 (Schulman), or k3 times the ratio to the model that wrote, which makes its
// gradient unbiased (DeepSeek-V3.2).
enum class KlKind : std::uint8_t { k3, unbiased };

struct RlSettings {
  std::string task;                                     // or a file of problems
  Json options = Json::object();                        // of it
  std::int64_t prompts = 16;                            // per step
  std::int64_t group = 8;                               // completions of each
  std::int64_t max_tokens = 0;                          // of a completion
  std::vector<std::pair<std::string, double>> rewards;  // name and weight
  // The program that the reward `command` asks: executable and arguments, seconds a step, MiB for each of its processes (0: no limit).
  std::vector<std::string> command;
  double command_timeout = 60;
  std::int64_t command_memory = 4096;
  Advantage advantage = Advantage::mean;
  Normalise normalise = Normalise::tokens;
  std::int64_t epochs = 1;  // steps that learn from the same completions
  Ratio ratio = Ratio::token;
  double clip_low = 0, clip_high = 0;  // a ratio counts within [1 − low, 1 + high]; both 0: wherever it is
  double kl = 0;                       // weight
  KlKind kl_kind = KlKind::k3;
  std::int64_t reference_every = 0;  // steps after which the reference becomes the model as it is; 0: it stays the one of the beginning
  std::int64_t resample = 0;         // other prompts tried where a group's rewards are all equal
  std::int64_t samples_every = 0;    // steps between those of which some completions are kept for people; 0: none
  bool mask_cut = false;             // completions that ran into max_tokens teach nothing
};

[[nodiscard]] std::vector<ConfigKey> rl_config_keys();
// Whether the model writes its own samples.
[[nodiscard]] bool trains_by_roll_outs(const Config& config);
// An input error if [rl] says anything but defaults, and has no task.
[[nodiscard]] Result<void> check_rl_has_task(const Config& config);
[[nodiscard]] Result<RlSettings> read_rl_settings(const Config& config);

}  // namespace godwit::train
