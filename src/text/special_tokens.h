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

// Around tools. DeepSeek's vocabularies have them; godwit's own do not, and spell them as text.
inline constexpr std::string_view tool_calls_begin_token = "<｜tool▁calls▁begin｜>";
inline constexpr std::string_view tool_calls_end_token = "<｜tool▁calls▁end｜>";
inline constexpr std::string_view tool_call_begin_token = "<｜tool▁call▁begin｜>";
inline constexpr std::string_view tool_call_end_token = "<｜tool▁call▁end｜>";
inline constexpr std::string_view tool_separator_token = "<｜tool▁sep｜>";
inline constexpr std::string_view tool_outputs_begin_token = "<｜tool▁outputs▁begin｜>";
inline constexpr std::string_view tool_outputs_end_token = "<｜tool▁outputs▁end｜>";
inline constexpr std::string_view tool_output_begin_token = "<｜tool▁output▁begin｜>";
inline constexpr std::string_view tool_output_end_token = "<｜tool▁output▁end｜>";

}  // namespace godwit::text
