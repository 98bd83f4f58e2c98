#include "infer/answer_text.h"

#include <algorithm>

#include "text/utf8.h"

namespace godwit::infer {

namespace {

struct Match {
  std::size_t begin = std::string::npos;
  std::size_t end = std::string::npos;
};

Match first_match(std::string_view text, const std::vector<std::string>& stops) {
  Match best;
  for (const std::string& stop : stops) {
    const std::size_t begin = text.find(stop);
    if (begin == std::string_view::npos) continue;
    const Match match{begin, begin + stop.size()};
    if (match.end < best.end || (match.end == best.end && match.begin < best.begin)) best = match;
  }
  return best;
}

// Bytes at the end of `text` with which a stop string may begin.
std::size_t possible_beginning(std::string_view text, const std::vector<std::string>& stops) {
  std::size_t longest = 0;
  for (const std::string& stop : stops) {
    for (std::size_t length = std::min(stop.size() - 1, text.size()); length > longest; --length) {
      if (text.ends_with(std::string_view(stop).substr(0, length))) longest = length;
    }
  }
  return longest;
}

}  // namespace

Result<void> check_stop_strings(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) {
    if (stop.empty()) return input_error("a stop string is empty; every text contains it: leave it out");
    if (text::valid_run_end(stop, 0) != stop.size()) return input_error("the stop string '{}' is not UTF-8", readable(stop));
  }
  return {};
}

std::string readable(std::string_view bytes) {
  std::string result;
  for (std::size_t position = 0; position < bytes.size();) {
    const std::size_t end = text::valid_run_end(bytes, position);
    result += bytes.substr(position, end - position);
    position = end;
    if (position == bytes.size()) break;
    result += "\xEF\xBF\xBD";
    ++position;
  }
  return result;
}

AnswerText::Piece AnswerText::push(std::int32_t id) {
  held_ += decoder_.push(id);
  const Match match = first_match(held_, stops_);
  if (match.begin != std::string::npos) return {readable(std::string_view(held_).substr(0, match.begin)), true};
  const std::size_t certain = held_.size() - possible_beginning(held_, stops_);
  Piece piece{readable(std::string_view(held_).substr(0, certain)), false};
  held_.erase(0, certain);
  return piece;
}

std::string AnswerText::finish() {
  held_ += decoder_.flush();
  return readable(std::exchange(held_, {}));
}

}  // namespace godwit::infer
