// `pattern` and `format` of JSON Schema as sets of spellings between a JSON string's quotes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "infer/grammar/dfa.h"

namespace godwit::infer {

// The strings in which the regular expression (ECMA 262) is found, as JSON Schema searches: anywhere unless it says ^ and $. Every
// character has one spelling (canonical_character).
//
// Known are characters, escapes, classes, groups, alternatives, quantifiers, and ^ and $ at the ends of the pattern or of its outermost
// alternatives. Anything else, look-around and back-references above all, is an input error that says where it stands.
[[nodiscard]] Result<Dfa> pattern_strings(std::string_view pattern, Work& work);

// The strings of a format; an input error for an unknown one.
[[nodiscard]] Result<Dfa> format_strings(std::string_view format, Work& work);

// Strings of so many characters, in the same spelling.
[[nodiscard]] std::optional<Dfa> strings_of_length(std::uint64_t min, std::optional<std::uint64_t> max, Work& work);

}  // namespace godwit::infer
