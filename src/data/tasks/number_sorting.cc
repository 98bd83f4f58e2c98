// Sorting numbers.      sort 7,3,9:  →  chain 7;3,7;3,7,9, truth 3,7,9
//
// The chain inserts one number of the prompt after another into the list before it.

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

std::string listed(const std::vector<std::int64_t>& numbers) {
  return fmt::format("{}", fmt::join(numbers, ","));
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  std::vector<std::int64_t> numbers, sorted;
  Problem problem;
  for (std::int64_t i = 0; i < options.integer("count"); ++i) {
    const std::int64_t number = draw(random, 0, options.integer("max"));
    numbers.push_back(number);
    sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), number), number);
    problem.chain += (i > 0 ? ";" : "") + listed(sorted);
  }
  problem.prompt = "sort " + listed(numbers) + ":";
  problem.truth = listed(sorted);
  return problem;
}

ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t count = options.integer("count"), number = digits_of(options.integer("max")) + 1;  // with its comma
  return {.prompt = count * number + 5, .chain = count * (count + 1) / 2 * number - 1, .truth = count * number - 1};
}

// The numbers of "3, 7, 9" or "3 7 9", each in the form number_in gives it; nothing if anything else is there.
std::optional<std::vector<std::string>> numbers_in(std::string_view text) {
  std::vector<std::string> numbers;
  for (std::size_t at = 0; (at = text.find_first_not_of(", \t\r\n", at)) != std::string_view::npos;) {
    const std::size_t end = std::min(text.find_first_of(", \t\r\n", at), text.size());
    std::optional<std::string> number = number_in(text.substr(at, end - at));
    if (!number) return std::nullopt;
    numbers.push_back(*std::move(number));
    at = end;
  }
  return numbers;
}

}  // namespace

extern const Task number_sorting;
const Task number_sorting{
    .name = "number_sorting",
    .summary = "Numbers in ascending order.",
    .options = {{.name = "count", .fallback = 5, .minimum = 2, .maximum = 32, .meaning = "Numbers to sort."},
                {.name = "max", .fallback = 99, .minimum = 1, .maximum = 999999, .meaning = "Largest number; the least is 0."}},
    .make = make,
    .longest = longest,
    .score =
        [](const Problem& problem, std::string_view answer) {
          const auto numbers = numbers_in(answer);
          return numbers && numbers == numbers_in(problem.truth) ? 1.0 : 0.0;
        },
};

}  // namespace godwit::data
