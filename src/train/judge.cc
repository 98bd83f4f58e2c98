#include "train/judge.h"

#include <fmt/format.h>

#include <cmath>

namespace godwit::train {

std::string doubt_of(const RunScalars& scalars, float loss, float norm) {
  if (!std::isfinite(loss)) return fmt::format("the loss is {}", loss);
  if (!std::isfinite(norm)) return fmt::format("the gradient's norm is {}", norm);
  const double limit = scalars.loss_mean * 1.5 + scalars.loss_deviation * 8.0;
  if (scalars.step - scalars.skipped >= spike_after_steps && static_cast<double>(loss) > limit) {
    return fmt::format("the loss is {:.4f} after a mean of {:.4f} (deviation {:.4f})", loss, scalars.loss_mean, scalars.loss_deviation);
  }
  return "";
}

void remember(RunScalars& scalars, float loss) {
  const double value = static_cast<double>(loss);
  if (scalars.step - scalars.skipped <= 1) {
    scalars.loss_mean = value;
    scalars.loss_deviation = 0;
    return;
  }
  const double away = value - scalars.loss_mean;
  const double distance = away < 0 ? -away : away;
  scalars.loss_mean = scalars.loss_mean + away * 0.03125;
  scalars.loss_deviation = scalars.loss_deviation + (distance - scalars.loss_deviation) * 0.03125;
}

}  // namespace godwit::train
