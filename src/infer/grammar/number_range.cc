#include "infer/grammar/number_range.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace godwit::infer {
namespace {

using StateId = Nfa::StateId;

// A decimal without leading zeros, and without zeros at the fraction's end.
struct Decimal {
  bool negative = false;
  std::string integer;
  std::string fraction;
};

// Numbers of up to 15 digits are told apart by doubles, which is how most readers compare them.
constexpr std::size_t digits_certain = 15;

Result<Decimal> decimal(const Json& value) {
  std::string text;
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (!std::isfinite(number) || std::abs(number) >= 1e18) return input_error("{} has more than {} digits", number, integer_digits_max);
    std::array<char, 512> buffer{};
    const auto [end, failure] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::fixed);
    CHECK(failure == std::errc(), "a double below 1e18 needs more than 512 characters");
    text.assign(buffer.data(), end);
  } else {
    text = write_json(value);
  }
  Decimal result;
  result.negative = text.starts_with('-');
  if (result.negative) text.erase(0, 1);
  const std::size_t point = text.find('.');
  result.integer = text.substr(0, point);
  if (point != std::string::npos) result.fraction = text.substr(point + 1);
  while (result.fraction.ends_with('0')) result.fraction.pop_back();
  if (result.integer == "0" && result.fraction.empty()) result.negative = false;
  const std::size_t digits = result.integer.size() + result.fraction.size();
  if (result.integer.size() > integer_digits_max || (!result.fraction.empty() && digits > digits_certain)) {
    return input_error("{} has too many digits", text);
  }
  return result;
}

// Builds one side of zero: numbers without their sign.
class Magnitudes {
 public:
  Magnitudes(Nfa& nfa, int fraction_digits) : nfa_(nfa), fraction_digits_(fraction_digits) {}

  void any(StateId from, StateId to) {
    const StateId whole = nfa_.state();
    integers(from, 1, integer_digits_max, whole);
    any_fraction(whole, to);
  }

  void at_least(StateId from, const Decimal& bound, bool exclusive, StateId to) {
    const int length = static_cast<int>(bound.integer.size());
    const StateId above = nfa_.state();
    if (length < integer_digits_max) integers(from, length + 1, integer_digits_max, above);
    const StateId equal = compared(from, bound.integer, true, above);
    any_fraction(above, to);
    if (bound.fraction.empty() && !exclusive) return any_fraction(equal, to);
    if (fraction_digits_ == 0) return;
    StateId at = point(equal);
    int left = fraction_digits_;
    for (const char digit : bound.fraction) {
      --left;
      if (digit < '9') digits(digit_state(at, static_cast<char>(digit + 1), '9'), 0, left, to);
      at = digit_state(at, digit, digit);
    }
    if (!exclusive) return digits(at, 0, left, to);
    for (; left > 0; --left) {
      digits(digit_state(at, '1', '9'), 0, left - 1, to);
      at = digit_state(at, '0', '0');
    }
  }

  void at_most(StateId from, const Decimal& bound, bool exclusive, StateId to) {
    const int length = static_cast<int>(bound.integer.size());
    const StateId below = nfa_.state();
    if (length > 1) integers(from, 1, length - 1, below);
    const StateId equal = compared(from, bound.integer, false, below);
    any_fraction(below, to);
    const bool equal_is_within = !bound.fraction.empty() || !exclusive;
    if (equal_is_within) nfa_.skip(equal, to);
    if (fraction_digits_ == 0 || !equal_is_within) return;
    StateId at = point(equal);
    int left = fraction_digits_;
    for (std::size_t i = 0; i < bound.fraction.size(); ++i) {
      const char digit = bound.fraction[i];
      --left;
      if (digit > '0') digits(digit_state(at, '0', static_cast<char>(digit - 1)), 0, left, to);
      at = digit_state(at, digit, digit);
      if (i + 1 < bound.fraction.size()) nfa_.skip(at, to);  // the beginning of the bound is below it: its last digit is no zero
    }
    if (exclusive) return;
    if (!bound.fraction.empty()) nfa_.skip(at, to);
    for (; left > 0; --left) {
      at = digit_state(at, '0', '0');
      nfa_.skip(at, to);
    }
  }

 private:
  StateId digit_state(StateId from, char low, char high) {
    const StateId next = nfa_.state();
    nfa_.on(from, static_cast<unsigned char>(low), static_cast<unsigned char>(high), next);
    return next;
  }
  StateId point(StateId from) { return digit_state(from, '.', '.'); }

  void digits(StateId from, int min, int max, StateId to) {
    for (int count = 0;; ++count) {
      if (count >= min) nfa_.skip(from, to);
      if (count == max) break;
      from = digit_state(from, '0', '9');
    }
  }

  void any_fraction(StateId from, StateId to) {
    nfa_.skip(from, to);
    if (fraction_digits_ > 0) digits(point(from), 1, fraction_digits_, to);
  }

  // Whole numbers of so many digits.
  void integers(StateId from, int digits_min, int digits_max, StateId to) {
    if (digits_min == 1) nfa_.on(from, '0', '0', to);
    digits(digit_state(from, '1', '9'), digits_min - 1, digits_max - 1, to);
  }

  // Whole numbers as long as `bound`: those above it (or below) lead to `apart`, the bound itself to what is returned.
  StateId compared(StateId from, const std::string& bound, bool above, StateId apart) {
    for (std::size_t i = 0; i < bound.size(); ++i) {
      const char first = i == 0 && bound.size() > 1 ? '1' : '0';
      const int left = static_cast<int>(bound.size() - i) - 1;
      const char low = above ? static_cast<char>(bound[i] + 1) : first;
      const char high = above ? '9' : static_cast<char>(bound[i] - 1);
      if (low <= high) digits(digit_state(from, low, high), left, left, apart);
      from = digit_state(from, bound[i], bound[i]);
    }
    return from;
  }

  Nfa& nfa_;
  int fraction_digits_;
};

StateId minus(Nfa& nfa) {
  const StateId next = nfa.state();
  nfa.on(Nfa::start(), '-', '-', next);
  return next;
}

// An automaton of digits is small: what it can lack is work.
Result<Dfa> settled(std::optional<Dfa> dfa) {
  if (!dfa) return input_error("the grammar as a whole takes too long to compile");
  return *std::move(dfa);
}

// All numbers on the right side of one bound.
Result<Dfa> side(const Bound& bound, bool is_min, int fraction_digits, Work& work) {
  TRY_ASSIGN(Decimal value, decimal(bound.value));
  if (bound.exclusive && fraction_digits > 0) {
    // Just beside the bound, more digits than a double holds would round to it.
    const std::size_t digits = value.integer.size();
    if (digits > digits_certain) return input_error("{} has too many digits to be excluded", write_json(bound.value));
    fraction_digits = static_cast<int>(digits_certain - digits);
  }
  Nfa nfa;
  Magnitudes magnitudes(nfa, fraction_digits);
  const bool zero = value.integer == "0" && value.fraction.empty();
  if (is_min && !value.negative) {
    magnitudes.at_least(Nfa::start(), value, bound.exclusive, Nfa::end());
  } else if (is_min) {
    magnitudes.any(Nfa::start(), Nfa::end());
    magnitudes.at_most(minus(nfa), value, bound.exclusive, Nfa::end());
  } else if (value.negative || (zero && bound.exclusive)) {
    magnitudes.at_least(minus(nfa), value, bound.exclusive, Nfa::end());
  } else {
    magnitudes.any(minus(nfa), Nfa::end());
    magnitudes.at_most(Nfa::start(), value, bound.exclusive, Nfa::end());
  }
  return settled(determinize(nfa, work));
}

Result<Dfa> unbounded(bool integer, Work& work) {
  Nfa nfa;
  const StateId positive = nfa.state();
  nfa.skip(minus(nfa), positive);
  nfa.skip(Nfa::start(), positive);
  const StateId whole = nfa.state();
  Magnitudes(nfa, integer ? 0 : fraction_digits_max).any(positive, whole);
  nfa.skip(whole, Nfa::end());
  if (!integer) {
    const StateId exponent = nfa.state(), digits = nfa.state(), two = nfa.state(), hundred = nfa.state(), two_hundred = nfa.state();
    for (const unsigned char e : {'e', 'E'}) nfa.on(whole, e, e, exponent);
    for (const unsigned char sign : {'+', '-'}) nfa.on(exponent, sign, sign, digits);
    nfa.skip(exponent, digits);
    nfa.on(digits, '0', '9', Nfa::end());
    nfa.on(digits, '0', '9', two);
    nfa.on(two, '0', '9', Nfa::end());
    nfa.on(digits, '1', '1', hundred);
    nfa.on(hundred, '0', '9', two);
    nfa.on(digits, '2', '2', two_hundred);
    nfa.on(two_hundred, '0', '8', two);
  }
  return settled(determinize(nfa, work));
}

}  // namespace

Result<Dfa> number_spellings(const NumberRange& range, bool integer, Work& work) {
  if (!range.min && !range.max) return unbounded(integer, work);
  const int fraction_digits = integer ? 0 : fraction_digits_max;
  if (!range.max) return side(*range.min, true, fraction_digits, work);
  if (!range.min) return side(*range.max, false, fraction_digits, work);
  TRY_ASSIGN(const Dfa above, side(*range.min, true, fraction_digits, work));
  TRY_ASSIGN(const Dfa below, side(*range.max, false, fraction_digits, work));
  return settled(intersect(above, below, work));
}

}  // namespace godwit::infer
