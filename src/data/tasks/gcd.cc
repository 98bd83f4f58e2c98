// The greatest common divisor, by Euclid.      gcd(48,36)=  →  chain 48=1*36+12;36=3*12+0, truth 12

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

// Bytes of the chain of a and b.
std::int64_t chain_bytes(std::int64_t a, std::int64_t b) {
  std::int64_t bytes = -1;  // one ; fewer than steps
  for (; b > 0; a = std::exchange(b, a % b)) bytes += digits_of(a) + digits_of(a / b) + digits_of(b) + digits_of(a % b) + 4;
  return bytes;
}

// Two numbers with a divisor in common, small enough that the steps do not end at once.
Problem make(const TaskOptions& options, RandomSequence& random) {
  const std::int64_t max = options.integer("max");
  std::int64_t divisor_max = 1;
  while ((divisor_max + 1) * (divisor_max + 1) <= max) ++divisor_max;
  const std::int64_t divisor = draw(random, 1, divisor_max);
  std::int64_t a = divisor * draw(random, 1, max / divisor);
  std::int64_t b = divisor * draw(random, 1, max / divisor);
  Problem problem;
  problem.prompt = fmt::format("gcd({},{})=", a, b);
  for (; b > 0; a = std::exchange(b, a % b)) {
    problem.chain += fmt::format("{}{}={}*{}+{}", problem.chain.empty() ? "" : ";", a, a / b, b, a % b);
  }
  problem.truth = std::to_string(a);
  return problem;
}

ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t max = options.integer("max");
  ProblemBytes bytes{.prompt = 2 * digits_of(max) + 7, .truth = digits_of(max)};
  for (std::int64_t a = 1; a <= max; ++a) {
    for (std::int64_t b = 1; b <= max; ++b) bytes.chain = std::max(bytes.chain, chain_bytes(a, b));
  }
  return bytes;
}

}  // namespace

extern const Task gcd;
const Task gcd{
    .name = "gcd",
    .summary = "The greatest common divisor of two numbers.",
    // 999, because the longest chain is found by trying all pairs.
    .options = {{.name = "max", .fallback = 99, .minimum = 2, .maximum = 999, .meaning = "Largest number."}},
    .make = make,
    .longest = longest,
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
