// The verifier's score of the answer, of a completion that thinks once, answers and ends.
#include "rl/reward.h"

namespace godwit::rl {

extern const Reward answer;
const Reward answer{
    .name = "answer",
    .summary = "What the problem's verifier says of the answer; 0 unless the completion thinks once, answers and ends.",
    .value = [](const Completion& completion, double score) { return completion.well_formed() ? score : 0.0; },
};

}  // namespace godwit::rl
