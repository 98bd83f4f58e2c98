// The learning rate of a step: a pure function, computed in fp64 and rounded once.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::train {

struct Schedule {
  std::string kind = "constant";  // "constant", "cosine", "wsd"
  double lr = 1e-3;
  double lr_min = 0;        // where cosine and wsd end
  std::int64_t warmup = 0;  // steps of linear rise: step s of the first `warmup` has lr·(s+1)/warmup
  std::int64_t decay = 0;   // wsd: length of the final linear fall
  std::int64_t steps = 0;   // length the schedule was made for; later steps keep its end value
};

// Rate of step `step` (0-based: the step that makes state step+1).
//   cosine: lr_min + (lr − lr_min)·(1 + cos(π·x))/2, x = (step − warmup)/(steps − warmup)
//   wsd:    lr until steps − decay, then a straight line to lr_min at the end
[[nodiscard]] float learning_rate(const Schedule& schedule, std::int64_t step);

}  // namespace godwit::train
