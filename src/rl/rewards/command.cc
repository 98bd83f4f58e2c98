// What a program of the user's says: unit tests, a judge, anything that reads lines and writes numbers (rl/command_scores.h).
#include "rl/reward.h"

namespace godwit::rl {

extern const Reward command;
const Reward command{
    .name = "command",
    .summary = "The score that the program of `[rl] command` gives; 0 where it gives none.",
    .value = [](const Completion& completion, double) { return completion.outside; },
    .outside = true,
};

}  // namespace godwit::rl
