// Chooses the next token from one row of logits. Pure functions of their arguments; docs/arithmetic.md, "Sampling", has the same rules.
//
// Temperature 0 is greedy: the largest logit, the lowest id of equals. Otherwise, with M the row's maximum,
//   p_i   = exp((z_i − M) / temperature)             binary32: one subtraction, one division, the profile's exp
//   kept  = ids in the order (p descending, id ascending), cut three times, each cut within what the one before left:
//           top_k   the first top_k                                                      (0: all)
//           top_p   up to and with the first at which the running sum ≥ top_p · total    (1: all)
//           min_p   those with p_i ≥ min_p                                               (0: all; the largest p is 1)
//   total = Σ p_i of what is kept, ids ascending; the first id whose running sum > u · total is chosen.
// Sums are fp64 chains from +0 over the binary32 p_i, by ascending id but for top_p's running sum, which goes in the order of the cut. The
// products with top_p and u are fp64. temperature and min_p are rounded to binary32 once.
//
// u, in [0, 1) with 53 bits, is RandomStream(seed, Purpose::sample, step = sample).f64(index = position in the answer): the first new token
// is position 0, `sample` counts the answers asked of one prompt with one seed. Batch, slot, row and prompt do not enter.
#pragma once

#include <cstdint>
#include <span>

#include "base/error.h"

namespace godwit::infer {

struct Sampling {
  double temperature = 0;
  std::int64_t top_k = 0;
  double top_p = 1;
  double min_p = 0;
};

// An input error that names the option, its value and what it may be.
[[nodiscard]] Result<void> check(const Sampling& sampling);

// Logits without NaN and +Inf, at least one; `sampling` passed check(). u is not read when greedy.
[[nodiscard]] std::int32_t choose(std::span<const float> logits, const Sampling& sampling, double u);

// The number choose() wants for the token at `position` of the answer.
[[nodiscard]] double draw(std::uint64_t seed, std::uint64_t sample, std::uint64_t position);

}  // namespace godwit::infer
