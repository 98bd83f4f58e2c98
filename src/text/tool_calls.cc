#include "text/tool_calls.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "text/special_tokens.h"

namespace godwit::text {
namespace {

// What is longer before the arguments is no call: no function's name is so long.
constexpr std::size_t header_bytes_max = 512;
constexpr std::string_view white_space = " \t\r\n";
constexpr std::string_view r1_fence = "\n```json\n";
constexpr std::string_view r1_fence_end = "\n```";

// Bytes at the end of `text` with which `token` may begin.
std::size_t beginning_at_end(std::string_view text, std::string_view token) {
  for (std::size_t length = std::min(token.size() - 1, text.size()); length > 0; --length) {
    if (text.ends_with(token.substr(0, length))) return length;
  }
  return 0;
}

void add_content(std::vector<ToolCallDelta>& deltas, std::string text) {
  if (text.empty()) return;
  if (!deltas.empty() && deltas.back().is_content()) {
    deltas.back().content += text;
  } else {
    deltas.push_back({std::move(text), 0, {}, {}, {}});
  }
}

void add_arguments(std::vector<ToolCallDelta>& deltas, std::size_t index, std::string text) {
  if (text.empty()) return;
  const bool same = !deltas.empty() && !deltas.back().is_content() && deltas.back().index == index;
  if (same) {
    deltas.back().arguments += text;
  } else {
    deltas.push_back({{}, index, {}, {}, std::move(text)});
  }
}

}  // namespace

std::vector<ToolCallDelta> ToolCallParser::push(std::string_view piece) {
  std::vector<ToolCallDelta> deltas;
  held_ += piece;
  while (advance(deltas)) {
  }
  return deltas;
}

std::vector<ToolCallDelta> ToolCallParser::finish() {
  std::vector<ToolCallDelta> deltas;
  switch (part_) {
    case Part::arguments:
      if (format_ == ChatFormat::r1 && held_.starts_with(r1_fence_end)) held_.clear();
      add_arguments(deltas, calls_ - 1, std::exchange(held_, {}));
      break;
    case Part::between:
    case Part::header:
    case Part::content:
      as_content(deltas);
      add_content(deltas, std::exchange(held_, {}));
      break;
    case Part::behind:
      break;
  }
  return deltas;
}

bool ToolCallParser::advance(std::vector<ToolCallDelta>& deltas) {
  switch (part_) {
    case Part::content:
      return read_content(deltas);
    case Part::between:
      return read_between(deltas);
    case Part::header:
      return read_header(deltas);
    case Part::arguments:
      return read_arguments(deltas);
    case Part::behind:
      held_.clear();
      return false;
  }
  return false;
}

void ToolCallParser::as_content(std::vector<ToolCallDelta>& deltas) {
  add_content(deltas, std::exchange(opened_, {}));
  part_ = Part::content;
}

bool ToolCallParser::read_content(std::vector<ToolCallDelta>& deltas) {
  const std::size_t begin = held_.find(tool_calls_begin_token);
  if (begin == std::string::npos) {
    const std::size_t certain = held_.size() - beginning_at_end(held_, tool_calls_begin_token);
    add_content(deltas, held_.substr(0, certain));
    held_.erase(0, certain);
    return false;
  }
  add_content(deltas, held_.substr(0, begin));
  held_.erase(0, begin + tool_calls_begin_token.size());
  opened_ = tool_calls_begin_token;
  part_ = Part::between;
  return true;
}

// Before a call: its opening token, or that which closes them all.
bool ToolCallParser::read_between(std::vector<ToolCallDelta>& deltas) {
  const std::size_t blank = std::min(held_.find_first_not_of(white_space), held_.size());
  const std::string_view rest = std::string_view(held_).substr(blank);
  for (const auto& [token, next] : {std::pair(tool_call_begin_token, Part::header), std::pair(tool_calls_end_token, Part::behind)}) {
    if (rest.starts_with(token) && (next == Part::header || calls_ > 0)) {
      opened_ += held_.substr(0, blank + token.size());
      held_.erase(0, blank + token.size());
      part_ = next;
      return true;
    }
    if (token.starts_with(rest)) return false;
  }
  as_content(deltas);
  return true;
}

// v3_1: name<sep>    r1: function<sep>name and a line with the fence
bool ToolCallParser::read_header(std::vector<ToolCallDelta>& deltas) {
  std::size_t name_begin = 0, name_end = held_.find(tool_separator_token), end = std::string::npos;
  if (name_end != std::string::npos) {
    if (format_ == ChatFormat::v3_1) {
      end = name_end + tool_separator_token.size();
    } else {
      name_begin = name_end + tool_separator_token.size();
      name_end = held_.find(r1_fence, name_begin);
      if (name_end != std::string::npos) end = name_end + r1_fence.size();
    }
  }
  const bool another_token = held_.substr(0, name_end).find(tool_call_end_token) != std::string::npos;
  if (end == std::string::npos) {
    if (held_.size() <= header_bytes_max && !another_token) return false;
    as_content(deltas);
    return true;
  }
  std::string name = held_.substr(name_begin, name_end - name_begin);
  const std::size_t first = name.find_first_not_of(white_space);
  if (first == std::string::npos || end > header_bytes_max || another_token) {
    as_content(deltas);
    return true;
  }
  name = name.substr(first, name.find_last_not_of(white_space) - first + 1);
  held_.erase(0, end);
  opened_.clear();
  deltas.push_back({{}, calls_, fmt::format("call_{:016x}{:04x}", seed_, calls_), std::move(name), {}});
  ++calls_;
  part_ = Part::arguments;
  return true;
}

bool ToolCallParser::read_arguments(std::vector<ToolCallDelta>& deltas) {
  const std::size_t end = held_.find(tool_call_end_token);
  if (end != std::string::npos) {
    std::string arguments = held_.substr(0, end);
    if (format_ == ChatFormat::r1 && arguments.ends_with(r1_fence_end)) arguments.resize(arguments.size() - r1_fence_end.size());
    add_arguments(deltas, calls_ - 1, std::move(arguments));
    held_.erase(0, end + tool_call_end_token.size());
    part_ = Part::between;
    return true;
  }
  // The fence is certain only with the token behind it.
  const std::string closing = (format_ == ChatFormat::r1 ? std::string(r1_fence_end) : "") + std::string(tool_call_end_token);
  const std::size_t certain = held_.size() - std::max(beginning_at_end(held_, closing), beginning_at_end(held_, tool_call_end_token));
  add_arguments(deltas, calls_ - 1, held_.substr(0, certain));
  held_.erase(0, certain);
  return false;
}

}  // namespace godwit::text
