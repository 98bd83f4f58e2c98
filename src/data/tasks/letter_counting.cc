// How often a letter is in a word.      count b in abcb:  →  chain a0b1c1b2, truth 2
//
// The chain spells the word, and has behind each letter how often the letter was met so far.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

Problem make(const TaskOptions& options, RandomSequence& random) {
  const std::int64_t alphabet = options.integer("alphabet");
  const char wanted = static_cast<char>(draw(random, 'a', 'a' + alphabet - 1));
  Problem problem{.prompt = fmt::format("count {} in ", wanted), .chain = "", .truth = ""};
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < options.integer("letters"); ++i) {
    const char letter = static_cast<char>(draw(random, 'a', 'a' + alphabet - 1));
    count += letter == wanted ? 1 : 0;
    problem.prompt += letter;
    problem.chain += letter + std::to_string(count);
  }
  problem.prompt += ':';
  problem.truth = std::to_string(count);
  return problem;
}

ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t letters = options.integer("letters");
  ProblemBytes bytes{.prompt = letters + 12, .chain = letters, .truth = digits_of(letters)};
  for (std::int64_t count = 1; count <= letters; ++count) bytes.chain += digits_of(count);
  return bytes;
}

}  // namespace

extern const Task letter_counting;
const Task letter_counting{
    .name = "letter_counting",
    .summary = "How often a letter is in a word.",
    .options = {{.name = "letters", .fallback = 8, .minimum = 1, .maximum = 256, .meaning = "Letters of the word."},
                {.name = "alphabet", .fallback = 4, .minimum = 1, .maximum = 26, .meaning = "Letters to choose from, a first."}},
    .make = make,
    .longest = longest,
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
