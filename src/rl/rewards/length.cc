// DAPO's soft punishment of length (arXiv 2503.14476, eq. 13): nothing up to four fifths of the limit, then falling to −1 at the limit.
#include "rl/reward.h"

namespace godwit::rl {

extern const Reward length;
const Reward length{
    .name = "length",
    .summary = "0 up to four fifths of max_tokens, from there falling to −1; −1 for a completion that was cut.",
    .value =
        [](const Completion& completion, double) {
          if (!completion.finished) return -1.0;
          const double most = static_cast<double>(completion.tokens_max);
          const double free = most * 4 / 5;
          const double over = static_cast<double>(completion.tokens) - free;
          return over <= 0 ? 0.0 : -over / (most - free);
        },
};

}  // namespace godwit::rl
