// What a completion is worth: one file in rewards/ each, and nothing else to edit.
//
// src/rl/rewards/NAME.cc defines `extern const Reward NAME; const Reward NAME{…}` in namespace godwit::rl; the build collects the folder
// into all_rewards(). [rl] rewards says which count, and with which weight; the sum is the completion's reward.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace godwit::rl {

// A completion as rewards see it.
struct Completion {
  std::string answer;           // behind the last </think>, trimmed; empty where there is none
  std::int64_t think_ends = 0;  // how many </think> there are
  std::int64_t thinking = 0;    // tokens before the first of them
  std::int64_t tokens = 0;      // all of them, the end token too
  std::int64_t tokens_max = 0;  // where it would have been cut
  bool finished = false;        // by the end token
  double chance = 0;            // in [0, 1), of this completion's own
  std::string prompt = {};      // what it answers; as the next, where it is to be rewarded
  std::string thought = {};     // the text before the first </think>
  double outside = 0;           // what the program says that [rl] command names; 0 where it is not asked

  // One thought, one answer, an end.
  [[nodiscard]] bool well_formed() const { return finished && think_ends == 1 && !answer.empty(); }
};

struct Reward {
  std::string_view name;
  std::string_view summary;  // one sentence
  // Of a completion whose problem's verifier gives its answer `score` in [0, 1].
  double (*value)(const Completion& completion, double score) = nullptr;
  bool outside = false;  // it reads Completion::outside
};

[[nodiscard]] std::span<const Reward* const> all_rewards();
// An unknown name is an input error with the nearest one.
[[nodiscard]] Result<const Reward*> find_reward(std::string_view name, std::string_view place);

}  // namespace godwit::rl
