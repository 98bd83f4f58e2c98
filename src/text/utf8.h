// UTF-8 by the letter (no surrogates, no overlong forms, nothing above U+10FFFF), and GPT-2's alphabet of byte characters.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace godwit::text {

// Length of the character at `position`, 0 where the bytes there are not one.
[[nodiscard]] std::size_t character_length(std::string_view text, std::size_t position);

// The code point of the valid character at `position`.
[[nodiscard]] char32_t code_point(std::string_view text, std::size_t position);

// Where the valid run that starts at `position` ends: at an invalid byte or at the end of the text.
[[nodiscard]] std::size_t valid_run_end(std::string_view text, std::size_t position);

// How many bytes at the end of `text` are the beginning of a character that is not complete yet (0–3).
[[nodiscard]] std::size_t incomplete_tail(std::string_view text);

// Unicode White_Space; what \s means to Oniguruma and to Rust's regex.
[[nodiscard]] bool is_white_space(char32_t c);

// Byte-level BPE writes each byte as one printable character: 33–126, 161–172 and 174–255 stand for themselves, the other 68 in ascending
// order for U+0100 onwards (so the blank is Ġ).
[[nodiscard]] const std::array<std::string, 256>& byte_characters();
// The bytes a token's spelling stands for, or nothing if a character is not of the alphabet.
[[nodiscard]] std::optional<std::string> bytes_of_spelling(std::string_view spelling);
[[nodiscard]] std::string spelling_of_bytes(std::string_view bytes);

}  // namespace godwit::text
