// A word backwards.      reverse stone:  →  chain s;ts;ots;nots;enots, truth enots
//
// The chain puts one letter of the word after another in front of what it has. Words are letters drawn at random, so that none can be
// known.
#include <string>
#include <string_view>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

Problem make(const TaskOptions& options, RandomSequence& random) {
  Problem problem{.prompt = "reverse ", .chain = "", .truth = ""};
  for (std::int64_t i = 0; i < options.integer("letters"); ++i) {
    const char letter = static_cast<char>(draw(random, 'a', 'z'));
    problem.prompt += letter;
    problem.truth.insert(problem.truth.begin(), letter);
    problem.chain += (i > 0 ? ";" : "") + problem.truth;
  }
  problem.prompt += ':';
  return problem;
}

}  // namespace

extern const Task spell_backward;
const Task spell_backward{
    .name = "spell_backward",
    .summary = "A word spelled backwards.",
    .options = {{.name = "letters", .fallback = 5, .minimum = 1, .maximum = 64, .meaning = "Letters of the word."}},
    .make = make,
    .longest =
        [](const TaskOptions& options) {
          const std::int64_t letters = options.integer("letters");
          return ProblemBytes{.prompt = letters + 9, .chain = letters * (letters + 1) / 2 + letters - 1, .truth = letters};
        },
    .score = [](const Problem& problem, std::string_view answer) { return problem.truth == trimmed(answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
