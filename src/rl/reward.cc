#include "rl/reward.h"

#include <fmt/ranges.h>

#include "base/config.h"

namespace godwit::rl {

Result<const Reward*> find_reward(std::string_view name, std::string_view place) {
  std::vector<std::string> known;
  for (const Reward* reward : all_rewards()) {
    if (reward->name == name) return reward;
    known.emplace_back(reward->name);
  }
  const std::string near = nearest_name(name, known);
  return input_error("{}: there is no reward '{}'{}; there are: {}", place, name, near.empty() ? "" : fmt::format("; did you mean {}?", near),
                     fmt::join(known, ", "));
}

}  // namespace godwit::rl
