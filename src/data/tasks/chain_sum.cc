// A chain of sums and differences.      3+4-2+9-1=  →  chain 3+7-5+4-3, truth 3 (modulo 10)
//
// The chain has the running results with the operators between them, r1 op r2 op …: the operator is copied, and the result behind it is
// made of that operator, the result before it, and the term that stands where the result stands. With digits = 1 and modulus ≤ 10 all three
// are always at the same distance.

#include <algorithm>
#include <string>
#include <string_view>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

// 10^digits
std::int64_t power_of_ten(std::int64_t digits) {
  std::int64_t power = 1;
  for (; digits > 0; --digits) power *= 10;
  return power;
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  const std::int64_t modulus = options.integer("modulus"), digits = options.integer("digits");
  const std::int64_t first = digits == 1 ? 0 : power_of_ten(digits - 1), last = power_of_ten(digits) - 1;
  Problem problem;
  std::int64_t result = 0;
  for (std::int64_t i = 0; i < options.integer("terms"); ++i) {
    const std::int64_t term = draw(random, first, last);
    // Without a modulus no result becomes negative: a sign would look like an operator.
    const bool minus = i > 0 && random.below(2) == 1 && (modulus > 0 || term <= result);
    if (i > 0) {
      problem.prompt += minus ? '-' : '+';
      problem.chain += minus ? '-' : '+';
    }
    result += minus ? -term : term;
    if (modulus > 0) result = (result % modulus + modulus) % modulus;
    problem.prompt += std::to_string(term);
    problem.chain += std::to_string(result);
  }
  problem.prompt += '=';
  problem.truth = std::to_string(result);
  return problem;
}

ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t modulus = options.integer("modulus"), digits = options.integer("digits"), terms = options.integer("terms");
  const std::int64_t last = power_of_ten(digits) - 1;
  ProblemBytes bytes{.prompt = terms * (digits + 1), .chain = terms - 1};
  for (std::int64_t i = 1; i <= terms; ++i) {
    bytes.truth = digits_of(modulus > 0 ? std::min(i * last, modulus - 1) : i * last);
    bytes.chain += bytes.truth;
  }
  return bytes;
}

}  // namespace

extern const Task chain_sum;
const Task chain_sum{
    .name = "chain_sum",
    .summary = "The result of a chain of sums and differences.",
    .options = {{.name = "terms", .fallback = 5, .minimum = 2, .maximum = 64, .meaning = "Terms of a problem."},
                {.name = "digits", .fallback = 1, .minimum = 1, .maximum = 9, .meaning = "Digits of a term."},
                {.name = "modulus",
                 .fallback = 10,
                 .minimum = 0,
                 .maximum = 1e9,
                 .meaning = "Every result is taken modulo this; 0: as it is, and never negative."}},
    .check = [](const TaskOptions& options) -> Result<void> {
      if (options.integer("modulus") == 1) return input_error("option modulus = 1 makes every answer 0; take 0 or at least 2");
      return {};
    },
    .make = make,
    .longest = longest,
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
