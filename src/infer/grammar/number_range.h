// The spellings of the numbers between two bounds, digit by digit: exact, because decimal digits are compared and nothing is rounded.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "infer/grammar/dfa.h"

namespace godwit::infer {

struct Bound {
  Json value;
  bool exclusive = false;
};
struct NumberRange {
  std::optional<Bound> min, max;
};

// Integers have at most 18 digits, so that every reader holds them. Other numbers have at most 18 digits before and 17 behind the point
// (which tell every double apart), and an exponent only where there is no bound, of at most 289 either way, so that none is infinite.
inline constexpr int integer_digits_max = 18;
inline constexpr int fraction_digits_max = 17;

// An input error for a bound with more than 15 digits where rounding could carry a number across it.
[[nodiscard]] Result<Dfa> number_spellings(const NumberRange& range, bool integer, Work& work);

}  // namespace godwit::infer
