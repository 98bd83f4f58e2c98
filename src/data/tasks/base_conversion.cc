// A number in another base.      base 10 to 2: 6=  →  chain 6=3*2+0;3=1*2+1;1=0*2+1, truth 110
//
// The chain reads the number, unless its base is 10, from the left (value of the digits so far times the base, plus the next digit), and
// writes it, unless its new base is 10, from the right (division with remainder). The numbers in it are decimal. Digits above 9 are
// letters.

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

// The digits' values, the highest first; of 0 one 0.
std::vector<std::int64_t> digits_in(std::int64_t number, std::int64_t base) {
  std::vector<std::int64_t> digits;
  do {
    digits.insert(digits.begin(), number % base);
    number /= base;
  } while (number > 0);
  return digits;
}

std::string written(std::int64_t number, std::int64_t base) {
  std::string text;
  for (const std::int64_t digit : digits_in(number, base)) text += "0123456789abcdefghijklmnopqrstuvwxyz"[digit];
  return text;
}

Problem problem_of(std::int64_t number, std::int64_t from, std::int64_t to) {
  Problem problem;
  problem.prompt = fmt::format("base {} to {}: {}=", from, to, written(number, from));
  problem.truth = written(number, to);
  const auto step = [&](const std::string& text) { problem.chain += (problem.chain.empty() ? "" : ";") + text; };
  if (from != 10) {
    std::int64_t value = 0;
    for (const std::int64_t digit : digits_in(number, from)) {
      step(fmt::format("{}*{}+{}={}", value, from, digit, value * from + digit));
      value = value * from + digit;
    }
  }
  if (to != 10) {
    std::int64_t rest = number;
    do {
      step(fmt::format("{}={}*{}+{}", rest, rest / to, to, rest % to));
      rest /= to;
    } while (rest > 0);
  }
  return problem;
}

// As problem_of the largest number, every remainder and digit as long as any.
ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t from = options.integer("from"), to = options.integer("to"), max = options.integer("max");
  const Problem problem = problem_of(max, from, to);
  ProblemBytes bytes{static_cast<std::int64_t>(problem.prompt.size()), static_cast<std::int64_t>(problem.chain.size()),
                     static_cast<std::int64_t>(problem.truth.size())};
  for (const std::int64_t base : {from, to}) {
    if (base == 10) continue;
    for (const std::int64_t digit : digits_in(max, base)) bytes.chain += digits_of(base - 1) - digits_of(digit);
  }
  return bytes;
}

// Without leading zeros, in lower case.
std::string plain(std::string_view text) {
  text = trimmed(text);
  text.remove_prefix(std::min(text.find_first_not_of('0'), text.size()));
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

}  // namespace

extern const Task base_conversion;
const Task base_conversion{
    .name = "base_conversion",
    .summary = "A number written in another base.",
    .options = {{.name = "from", .fallback = 10, .minimum = 2, .maximum = 36, .meaning = "Base of the number given."},
                {.name = "to", .fallback = 2, .minimum = 2, .maximum = 36, .meaning = "Base of the number wanted."},
                {.name = "max", .fallback = 255, .minimum = 1, .maximum = 999999, .meaning = "Largest number."}},
    .check = [](const TaskOptions& options) -> Result<void> {
      if (options.integer("from") != options.integer("to")) return {};
      return input_error("options from and to are both {}; a number is its own conversion then, make them differ", options.integer("to"));
    },
    .make =
        [](const TaskOptions& options, RandomSequence& random) {
          return problem_of(draw(random, 0, options.integer("max")), options.integer("from"), options.integer("to"));
        },
    .longest = longest,
    .score = [](const Problem& problem,
                std::string_view answer) { return !trimmed(answer).empty() && plain(problem.truth) == plain(answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
