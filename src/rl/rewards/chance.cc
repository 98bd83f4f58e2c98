// A reward that says nothing about the completion: the control that whatever is learned is learned from what is right.
#include "rl/reward.h"

namespace godwit::rl {

extern const Reward chance;
const Reward chance{
    .name = "chance",
    .summary = "1 for every other completion, drawn by lot: a control.",
    .value = [](const Completion& completion, double) { return completion.chance < 0.5 ? 1.0 : 0.0; },
};

}  // namespace godwit::rl
