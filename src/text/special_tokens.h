// DeepSeek's control tokens. The bars are U+FF5C and the low blocks U+2581, so that no ordinary text spells them by accident.
#pragma once

#include <string_view>

namespace godwit::text {

inline constexpr std::string_view bos_token = "<｜begin▁of▁sentence｜>";
inline constexpr std::string_view eos_token = "<｜end▁of▁sentence｜>";
inline constexpr std::string_view pad_token = "<｜▁pad▁｜>";
inline constexpr std::string_view user_token = "<｜User｜>";
inline constexpr std::string_view assistant_token = "<｜Assistant｜>";
inline constexpr std::string_view think_begin_token = "<think>";
inline constexpr std::string_view think_end_token = "</think>";

}  // namespace godwit::text
