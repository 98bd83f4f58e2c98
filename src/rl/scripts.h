// Which script letters are of: coarse, by blocks of Unicode.
#pragma once

#include <cstdint>
#include <string_view>

namespace godwit::rl {

enum class Script : std::uint8_t { none, latin, greek, cyrillic, hebrew, arabic, indic, thai, han, kana, hangul, other };
// none: not a letter.
[[nodiscard]] Script script_of(char32_t character);

// The share of `text`'s letters whose script has at least a tenth of `model`'s; 1 where either has none.
[[nodiscard]] double script_share(std::string_view text, std::string_view model);

}  // namespace godwit::rl
