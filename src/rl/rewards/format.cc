// Whether a completion has the form that is asked for, whatever it answers.
#include "rl/reward.h"

namespace godwit::rl {

extern const Reward format;
const Reward format{
    .name = "format",
    .summary = "1 for a completion with one `</think>`, an answer behind it and an end.",
    .value = [](const Completion& completion, double) { return completion.well_formed() ? 1.0 : 0.0; },
};

}  // namespace godwit::rl
