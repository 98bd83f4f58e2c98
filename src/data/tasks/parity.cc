// Parity: is the number of ones odd?      0110=  →  chain 0100, truth 0
//
// The chain has the running parities r1 … rn: each is the one before it plus one bit of the prompt, at one distance always. Without it the
// answer depends on all the bits at once, which a small model does not find by itself.
#include <string>
#include <string_view>

#include "data/answers.h"
#include "data/task.h"

namespace godwit::data {
namespace {

Problem make(const TaskOptions& options, RandomSequence& random) {
  Problem problem;
  char parity = '0';
  for (std::int64_t bits = options.integer("bits"); bits > 0; --bits) {
    const bool one = random.below(2) == 1;
    if (one) parity = parity == '0' ? '1' : '0';
    problem.prompt += one ? '1' : '0';
    problem.chain += parity;
  }
  problem.prompt += '=';
  problem.truth = parity;
  return problem;
}

}  // namespace

extern const Task parity;
const Task parity{
    .name = "parity",
    .summary = "Whether the number of ones among the bits is odd.",
    .options = {{.name = "bits", .fallback = 16, .minimum = 1, .maximum = 1024, .meaning = "Bits of a problem."}},
    .make = make,
    .longest =
        [](const TaskOptions& options) {
          const std::int64_t bits = options.integer("bits");
          return ProblemBytes{.prompt = bits + 1, .chain = bits, .truth = 1};
        },
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
