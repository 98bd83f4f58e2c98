// DeepSeek-R1's consistency (arXiv 2501.12948, 2.3.2: the share of target-language words in the chain of thought), by letters and scripts:
// no dictionary is needed, and a mixture of languages of one script is not seen.
#include "rl/reward.h"
#include "rl/scripts.h"

namespace godwit::rl {

extern const Reward language;
const Reward language{
    .name = "language",
    .summary = "The share of the thinking's letters that are in a script of the prompt; 1 where either has no letters.",
    .value = [](const Completion& completion, double) { return script_share(completion.thought, completion.prompt); },
};

}  // namespace godwit::rl
