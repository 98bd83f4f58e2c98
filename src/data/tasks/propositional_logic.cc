// The value of a formula.      p=1,q=0:(!(p&q)|p)=  →  chain (!(1&0)|1);(1|1);1, truth 1
//
// The chain puts the values in and then works out one pair of brackets a step, the leftmost innermost one, with the negation before it.
// & and, | or, > implies, ! not.
#include <fmt/format.h>

#include <string>
#include <string_view>

#include "data/answers.h"
#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

constexpr std::string_view variables = "pqrstuvw";
constexpr std::string_view operators = "&|>";

std::string formula(std::int64_t operator_count, std::int64_t variable_count, RandomSequence& random) {
  const std::string sign = random.below(4) == 0 ? "!" : "";
  if (operator_count == 0) return sign + variables[random.below(static_cast<std::uint64_t>(variable_count))];
  const char op = operators[random.below(operators.size())];
  const std::int64_t left_count = draw(random, 0, operator_count - 1);
  std::string left = formula(left_count, variable_count, random);
  return sign + "(" + left + op + formula(operator_count - 1 - left_count, variable_count, random) + ")";
}

bool apply(bool left, char op, bool right) {
  return op == '&' ? left && right : op == '|' ? left || right : !left || right;
}

// Puts the value in place of `count` characters at `begin` and of a ! before them.
void put(std::string& text, std::size_t begin, std::size_t count, bool value) {
  if (begin > 0 && text[begin - 1] == '!') {
    value = !value;
    --begin;
    ++count;
  }
  text.replace(begin, count, 1, value ? '1' : '0');
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  const std::int64_t variable_count = options.integer("variables");
  Problem problem;
  std::string values;
  for (std::int64_t i = 0; i < variable_count; ++i) {
    values += random.below(2) == 1 ? '1' : '0';
    problem.prompt += fmt::format("{}{}={}", i > 0 ? "," : "", variables[static_cast<std::size_t>(i)], values.back());
  }
  std::string text = formula(options.integer("operators"), variable_count, random);
  problem.prompt += ":" + text + "=";
  for (std::size_t at = 0; (at = text.find_first_of(variables, at)) != std::string::npos;) {
    put(text, at, 1, values[variables.find(text[at])] == '1');
  }
  problem.chain = text;
  for (std::size_t end; (end = text.find(')')) != std::string::npos;) {
    const std::size_t begin = end - 4;  // (1&0)
    put(text, begin, 5, apply(text[begin + 1] == '1', text[begin + 2], text[begin + 3] == '1'));
    problem.chain += ";" + text;
  }
  problem.truth = text;
  return problem;
}

ProblemBytes longest(const TaskOptions& options) {
  // Everything negated: leaves take 2 bytes in the prompt and 1 in the chain, an operator takes 4, and a step takes 5 away.
  const std::int64_t n = options.integer("operators");
  return {.prompt = 4 * options.integer("variables") + 2 * (n + 1) + 4 * n + 1, .chain = 5 * n * (n + 1) / 2 + (n + 1) + n, .truth = 1};
}

}  // namespace

extern const Task propositional_logic;
const Task propositional_logic{
    .name = "propositional_logic",
    .summary = "The value of a formula of propositional logic.",
    .options = {{.name = "variables", .fallback = 3, .minimum = 1, .maximum = 8, .meaning = "Variables that have values."},
                {.name = "operators", .fallback = 3, .minimum = 1, .maximum = 32, .meaning = "And, or, implies in the formula."}},
    .make = make,
    .longest = longest,
    .score = [](const Problem& problem, std::string_view answer) { return same_number(problem.truth, answer) ? 1.0 : 0.0; },
};

}  // namespace godwit::data
