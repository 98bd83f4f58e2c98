// Products by their digits.      47*6=  →  chain 7*6=42;40*6=240;42+240=282, truth 282
//
// The chain multiplies digit by digit, the second factor's lowest first, and adds each partial product to the sum so far: every step is a
// line of the multiplication table with zeros behind it, or one addition. Digits that are 0 make no step.

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

// 7 and 40 of 47.
std::vector<std::int64_t> parts(std::int64_t number) {
  std::vector<std::int64_t> parts;
  for (std::int64_t place = 1; number > 0; number /= 10, place *= 10) {
    if (number % 10 > 0) parts.push_back(number % 10 * place);
  }
  return parts;
}

Problem problem_of(std::int64_t a, std::int64_t b) {
  Problem problem;
  problem.prompt = std::to_string(a) + "*" + std::to_string(b) + "=";
  problem.truth = std::to_string(a * b);
  std::int64_t sum = 0;
  for (const std::int64_t y : parts(b)) {
    for (const std::int64_t x : parts(a)) {
      problem.chain += fmt::format("{}{}*{}={}", sum > 0 ? ";" : "", x, y, x * y);
      if (sum > 0) problem.chain += fmt::format(";{}+{}={}", sum, x * y, sum + x * y);
      sum += x * y;
    }
  }
  return problem;
}

std::int64_t power_of_ten(std::int64_t digits) {
  std::int64_t power = 1;
  for (; digits > 0; --digits) power *= 10;
  return power;
}

// Of so many digits; a single one is not 0.
std::int64_t draw_factor(RandomSequence& random, std::int64_t digits) {
  return draw(random, power_of_ten(digits - 1), power_of_ten(digits) - 1);
}

}  // namespace

extern const Task products;
const Task products{
    .name = "products",
    .summary = "The product of two numbers.",
    .options = {{.name = "digits", .fallback = 2, .minimum = 1, .maximum = 6, .meaning = "Digits of the first factor."},
                {.name = "multiplier_digits", .fallback = 1, .minimum = 1, .maximum = 6, .meaning = "Digits of the second factor."}},
    .make =
        [](const TaskOptions& options, RandomSequence& random) {
          const std::int64_t a = draw_factor(random, options.integer("digits"));
          return problem_of(a, draw_factor(random, options.integer("multiplier_digits")));
        },
    .longest =
        [](const TaskOptions& options) {
          // Nines: no step is left out, and every number of every step is as large as can be.
          const Problem problem =
              problem_of(power_of_ten(options.integer("digits")) - 1, power_of_ten(options.integer("multiplier_digits")) - 1);
          return ProblemBytes{static_cast<std::int64_t>(problem.prompt.size()), static_cast<std::int64_t>(problem.chain.size()),
                              static_cast<std::int64_t>(problem.truth.size())};
        },
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
