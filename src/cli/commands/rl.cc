// godwit rl: start a run whose samples the model writes itself, or go on with it.
#include <memory>

#include "cli/command.h"
#include "cli/training.h"
#include "rl/roll_outs.h"

namespace godwit::cli {

extern const Command rl;
const Command rl{
    .name = "rl",
    .summary = "Start a run of reinforcement learning, or go on with it.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<TrainingOptions>();
      declare_training(app, *options);
      return [options] { return run_training(*options, rl::open_roll_outs); };
    },
};

}  // namespace godwit::cli
