// A chat's tools, as OpenAI's clients name them: what may be called, what must be, what was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serve/api_error.h"
#include "serve/fields.h"
#include "text/chat.h"

namespace godwit::serve {

inline constexpr std::size_t tools_max = 128;
inline constexpr std::size_t tool_calls_max = 128;

struct ToolUse {
  enum class Choice : std::uint8_t { none, automatic, required };
  Choice choice = Choice::none;
  // Those the model is told of; where one is named, it alone.
  std::vector<text::Tool> tools;
  bool parallel = true;
};

// tools, tool_choice, parallel_tool_calls.
[[nodiscard]] ToolUse read_tool_use(Fields& fields, std::optional<ApiError>& fault);
// tool_calls of an assistant's message.
[[nodiscard]] std::vector<text::ToolCall> read_tool_calls(Fields& message, std::optional<ApiError>& fault);

}  // namespace godwit::serve
