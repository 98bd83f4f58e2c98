#include "train/schedule.h"

#include <algorithm>

#include "base/math.h"

namespace godwit::train {

float learning_rate(const Schedule& s, std::int64_t step) {
  if (step < s.warmup) return static_cast<float>(s.lr * (static_cast<double>(step + 1) / static_cast<double>(s.warmup)));
  if (s.kind == "cosine") {
    const std::int64_t length = std::max<std::int64_t>(1, s.steps - s.warmup);
    const double x = std::min(1.0, static_cast<double>(step - s.warmup) / static_cast<double>(length));
    return static_cast<float>(s.lr_min + (s.lr - s.lr_min) * (1.0 + math::cos_pi(x)) * 0.5);
  }
  if (s.kind == "wsd" && s.decay > 0 && step >= s.steps - s.decay) {
    const double x = std::min(1.0, static_cast<double>(step - (s.steps - s.decay) + 1) / static_cast<double>(s.decay));
    return static_cast<float>(s.lr + (s.lr_min - s.lr) * x);
  }
  return static_cast<float>(s.lr);
}

}  // namespace godwit::train
