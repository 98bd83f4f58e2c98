// Countdown: make a number of all the numbers given.      make 12 of 3,7,3:  →  (7-3)*3
//
// Every number is used once, with + - * / and brackets; divisions may leave fractions on the way. An expression that uses the right numbers
// and gives another result scores 0.1.

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/draw.h"
#include "data/task.h"

namespace godwit::data {
namespace {

constexpr double right_numbers = 0.1;
constexpr int depth_max = 64;

// A part of the expression that makes the target.
struct Term {
  std::int64_t value;
  std::string text;
  int rank;  // how strongly its last operation binds: 1 + and -, 2 * and /, 3 a number
};

Term join(const Term& left, char op, const Term& right) {
  const int rank = op == '+' || op == '-' ? 1 : 2;
  const auto bracketed = [](const Term& term, bool needed) { return needed ? "(" + term.text + ")" : term.text; };
  const bool right_needed = right.rank < rank || (right.rank == rank && (op == '-' || op == '/'));
  const std::int64_t value = op == '+'   ? left.value + right.value
                             : op == '-' ? left.value - right.value
                             : op == '*' ? left.value * right.value
                                         : left.value / right.value;
  return {value, bracketed(left, left.rank < rank) + op + bracketed(right, right_needed), rank};
}

// What can be made of two terms without leaving the whole numbers from 0 to target_max. The difference always can.
std::vector<Term> joined(const Term& a, const Term& b, std::int64_t target_max) {
  const Term& more = a.value >= b.value ? a : b;
  const Term& less = a.value >= b.value ? b : a;
  std::vector<Term> terms{join(more, '-', less)};
  if (a.value + b.value <= target_max) terms.push_back(join(a, '+', b));
  if (a.value * b.value <= target_max) terms.push_back(join(a, '*', b));
  if (less.value > 0 && more.value % less.value == 0) terms.push_back(join(more, '/', less));
  return terms;
}

Problem make(const TaskOptions& options, RandomSequence& random) {
  for (;;) {
    std::vector<std::int64_t> numbers;
    std::vector<Term> terms;
    for (std::int64_t i = 0; i < options.integer("numbers"); ++i) {
      numbers.push_back(draw(random, 1, options.integer("max")));
      terms.push_back({numbers.back(), std::to_string(numbers.back()), 3});
    }
    while (terms.size() > 1) {
      shuffle(random, terms);
      const auto choices = joined(terms[terms.size() - 2], terms.back(), options.integer("target_max"));
      terms.pop_back();
      terms.back() = choices[random.below(choices.size())];
    }
    if (terms[0].value == 0) continue;
    return {.prompt = fmt::format("make {} of {}:", terms[0].value, fmt::join(numbers, ",")), .chain = "", .truth = terms[0].text};
  }
}

ProblemBytes longest(const TaskOptions& options) {
  const std::int64_t numbers = options.integer("numbers"), digits = digits_of(options.integer("max"));
  // "make T of a,b,c:"; an operator between any two numbers, brackets around all but the last operation.
  return {.prompt = 10 + digits_of(options.integer("target_max")) + numbers * (digits + 1) - 1,
          .chain = 0,
          .truth = numbers * digits + (numbers - 1) + 2 * (numbers - 2)};
}

// Not reduced: with six numbers below 1000 neither part leaves 128 bits.
__extension__ using Wide = __int128;
struct Fraction {
  Wide over = 0, under = 1;
};

// Reads an expression to the end of the text and works it out; gathers the numbers it uses.
class Expression {
 public:
  Expression(std::string_view text, std::size_t numbers_max) : text_(text), numbers_max_(numbers_max) {}

  std::optional<Fraction> read() {
    const auto value = sum(0);
    skip_blanks();
    return at_ == text_.size() ? value : std::nullopt;
  }
  const std::vector<std::int64_t>& numbers() const { return numbers_; }

 private:
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  // The next character if it is one of these.
  std::optional<char> take(std::string_view any) {
    skip_blanks();
    if (at_ == text_.size() || any.find(text_[at_]) == std::string_view::npos) return std::nullopt;
    return text_[at_++];
  }
  std::optional<Fraction> sum(int depth) {
    auto left = product(depth);
    while (left) {
      const auto op = take("+-");
      if (!op) return left;
      const auto right = product(depth);
      if (!right) return std::nullopt;
      const Wide moved = right->over * left->under;
      left = Fraction{left->over * right->under + (*op == '+' ? moved : -moved), left->under * right->under};
    }
    return left;
  }
  std::optional<Fraction> product(int depth) {
    auto left = factor(depth);
    while (left) {
      const auto op = take("*/");
      if (!op) return left;
      const auto right = factor(depth);
      if (!right || (*op == '/' && right->over == 0)) return std::nullopt;
      left = *op == '*' ? Fraction{left->over * right->over, left->under * right->under}
                        : Fraction{left->over * right->under, left->under * right->over};
    }
    return left;
  }
  std::optional<Fraction> factor(int depth) {
    if (depth == depth_max) return std::nullopt;
    if (take("(")) {
      auto inner = sum(depth + 1);
      return inner && take(")") ? inner : std::nullopt;
    }
    skip_blanks();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (error != std::errc() || number < 0 || text_[at_] == '-') return std::nullopt;
    at_ = static_cast<std::size_t>(end - text_.data());
    numbers_.push_back(number);
    // More or larger numbers than any problem has are wrong anyhow, and could overflow.
    if (numbers_.size() > numbers_max_ || number > 999) return std::nullopt;
    return Fraction{number, 1};
  }

  std::string_view text_;
  std::size_t numbers_max_;
  std::size_t at_ = 0;
  std::vector<std::int64_t> numbers_;
};

double score(const Problem& problem, std::string_view answer) {
  // "make T of a,b,c:"
  std::vector<std::int64_t> numbers;
  const char* at = problem.prompt.data();
  const char* const end = at + problem.prompt.size();
  while ((at = std::find_if(at, end, [](char c) { return c >= '0' && c <= '9'; })) != end) {
    at = std::from_chars(at, end, numbers.emplace_back()).ptr;
  }
  if (numbers.size() < 2) return 0;
  const std::int64_t target = numbers.front();
  numbers.erase(numbers.begin());
  Expression expression(answer, numbers.size());
  const auto value = expression.read();
  if (!value || !std::ranges::is_permutation(numbers, expression.numbers())) return 0;
  return value->over == target * value->under ? 1 : right_numbers;
}

}  // namespace

extern const Task countdown;
const Task countdown{
    .name = "countdown",
    .summary = "An expression that makes a number of other numbers; any of them.",
    .options = {{.name = "numbers", .fallback = 3, .minimum = 2, .maximum = 6, .meaning = "Numbers given."},
                {.name = "max", .fallback = 20, .minimum = 1, .maximum = 999, .meaning = "Largest number given; the least is 1."},
                {.name = "target_max",
                 .fallback = 999,
                 .minimum = 1,
                 .maximum = 999999,
                 .meaning = "Largest number wanted, and largest on the way of the solution a problem comes with."}},
    .has_chain = false,
    .check = [](const TaskOptions& options) -> Result<void> {
      if (options.integer("max") <= options.integer("target_max")) return {};
      return input_error("option target_max = {} is below max = {}, the largest number given; raise it", options.integer("target_max"),
                         options.integer("max"));
    },
    .make = make,
    .longest = longest,
    .score = score,
};

}  // namespace godwit::data
