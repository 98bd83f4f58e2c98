// How ops that take a router's choice fill it, and what the two ops of the balance loss are tried with.
#pragma once

#include <cstdint>
#include <vector>

#include "program/fill.h"
#include "program/op_words.h"

namespace godwit::program {

// experts [N,K]: in every row K different ones of `expert_count`, ascending, as the router writes them.
inline void fill_experts(Fill& fill, std::string_view input, std::int64_t expert_count) {
  const auto experts = fill.i32(input);
  const std::int64_t top_k = fill.in(input).shape.width();
  std::size_t slot = 0;
  while (slot < experts.size()) {
    std::int64_t wanted = top_k;
    for (std::int64_t e = 0; e < expert_count; ++e) {  // takes e with the chance that leaves every subset equally likely
      if (fill.random(static_cast<std::uint32_t>(expert_count - e)) >= static_cast<std::uint32_t>(wanted)) continue;
      experts[slot++] = static_cast<std::int32_t>(e);
      --wanted;
    }
  }
}

inline std::vector<Example> balance_loss_examples() {
  struct Case {
    std::int64_t rows, experts, top_k, samples;
  };
  std::vector<Example> examples;
  for (const Case c : {Case{1, 1, 1, 1}, Case{3, 2, 1, 2}, Case{5, 7, 3, 0}, Case{13, 7, 3, 4}, Case{64, 8, 2, 3}, Case{65, 64, 6, 2},
                       Case{513, 5, 2, 1}, Case{1100, 4, 1, 3}, Case{9, 515, 5, 2}}) {
    examples.push_back({{f32_type({c.rows, c.experts}), i32_type({c.rows, c.top_k}), i32_type({c.samples + 1}), f32_type({1})}, {}});
  }
  return examples;
}

}  // namespace godwit::program
