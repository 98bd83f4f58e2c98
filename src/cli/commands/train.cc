// godwit train: start a run, or go on with it.
#include <memory>

#include "cli/command.h"
#include "cli/training.h"

namespace godwit::cli {

extern const Command train;
const Command train{
    .name = "train",
    .summary = "Start a training run, or go on with it.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<TrainingOptions>();
      declare_training(app, *options);
      return [options] { return run_training(*options, {}); };
    },
};

}  // namespace godwit::cli
