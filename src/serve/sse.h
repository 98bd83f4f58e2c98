// Server-sent events, as OpenAI's clients read them.
#pragma once

#include <string>
#include <string_view>

namespace godwit::serve {

// `json` is one line.
[[nodiscard]] inline std::string sse_event(std::string_view json) {
  std::string bytes = "data: ";
  bytes += json;
  bytes += "\n\n";
  return bytes;
}
inline constexpr std::string_view sse_keep_alive = ": keep-alive\n\n";
inline constexpr std::string_view sse_done = "data: [DONE]\n\n";

}  // namespace godwit::serve
