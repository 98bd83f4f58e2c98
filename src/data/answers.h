// Holding an answer that anybody may have written against the truth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::data {

// Without the white space around it.
[[nodiscard]] std::string_view trimmed(std::string_view text);

// A whole text that is a decimal number, in the one way all its spellings share: "1,234.50", "$1234.5", "+1234.5" → "1234.5". Exact for
// numbers of any length. A $ before it, and a % or a full stop behind it, are passed over; commas must stand where thousands end.
[[nodiscard]] std::optional<std::string> number_in(std::string_view text);
// Both are numbers, and the same.
[[nodiscard]] bool same_number(std::string_view truth, std::string_view answer);

// What stands in the last \boxed{…} that is closed.
[[nodiscard]] std::optional<std::string> boxed(std::string_view text);

enum class Compare : std::uint8_t {
  automatic,  // number if the truth is one, choice if it is a letter alone, else text
  number,     // the answer is a number, or the last one in it counts; behind "####" if it has that
  text,       // the same text, white space around it apart
  choice,     // a letter A–H: the answer "B", "(B)", "B.", "B) because …", or the last such letter alone in it
};

// Of truth and answer alike, what is boxed counts if anything is.
[[nodiscard]] bool same_answer(Compare compare, std::string_view truth, std::string_view answer);

}  // namespace godwit::data
