#include "guard/story_words.h"

#include "base/config.h"

namespace godwit::guard {

Error Sentence::error() const {
  std::string where = furthest_ < words_.size() ? fmt::format("word {}, '{}'", furthest_ + 1, words_[furthest_]) : "its end";
  if (furthest_ < words_.size()) {
    const std::string near = nearest_name(words_[furthest_], wanted_);
    if (!near.empty()) return input_error("{}: {} is not what can stand there; did you mean {}?", place_, where, near);
  }
  std::vector<std::string> wanted = wanted_;
  std::ranges::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  if (wanted.empty()) return input_error("{}: {} is one word too many", place_, where);
  return input_error("{}: at {} there can be: {}", place_, where, fmt::join(wanted, ", "));
}

}  // namespace godwit::guard
