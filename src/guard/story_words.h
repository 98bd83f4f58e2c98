// A line of a story as words, and what was wanted where it could not be read.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace godwit::guard {

// The words of a line, read from left to right. What was wanted at the furthest place reached is kept for the error.
class Sentence {
 public:
  // `place` opens the errors: "a.story:3".
  Sentence(std::string_view line, std::string place) : place_(std::move(place)) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    line_ = line.substr(0, line.find_last_not_of(" \t") + 1);
    for (std::size_t at = 0; at < line.size();) {
      if (line[at] == ' ' || line[at] == '\t') {
        ++at;
        continue;
      }
      std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
      std::string word(line.substr(at, end - at));
      at = end;
      const char last = word.back();
      const bool mark = word.size() > 1 && (last == ',' || last == ':');
      if (mark) word.pop_back();
      words_.push_back(std::move(word));
      if (mark) words_.emplace_back(1, last);
    }
  }

  [[nodiscard]] const std::string& line() const { return line_; }
  [[nodiscard]] bool at_end() const { return at_ == words_.size(); }
  [[nodiscard]] std::size_t position() const { return at_; }
  void go_back(std::size_t position) { at_ = position; }
  // The words from a position to here, as text.
  [[nodiscard]] std::string text_from(std::size_t position) const {
    return fmt::format(
        "{}", fmt::join(words_.begin() + static_cast<std::ptrdiff_t>(position), words_.begin() + static_cast<std::ptrdiff_t>(at_), " "));
  }

  bool word(std::string_view wanted) {
    if (!at_end() && words_[at_] == wanted) {
      ++at_;
      return true;
    }
    want(std::string(wanted));
    return false;
  }
  // All of these, or nothing is taken.
  bool words(std::initializer_list<std::string_view> wanted) {
    const std::size_t before = at_;
    for (const std::string_view each : wanted) {
      if (word(each)) continue;
      at_ = before;
      return false;
    }
    return true;
  }
  template <typename Names>
  std::optional<std::string> one_of(const Names& names) {
    for (const auto& name : names) {
      if (word(name)) return std::string(name);
    }
    return std::nullopt;
  }
  std::optional<std::string> any_word(std::string what) {
    if (at_end() || words_[at_] == "," || words_[at_] == ":") {
      want(std::move(what));
      return std::nullopt;
    }
    return words_[at_++];
  }
  template <typename T>
  std::optional<T> number(T least, T most, std::string what) {
    T value{};
    if (!at_end()) {
      const std::string& text = words_[at_];
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error == std::errc{} && end == text.data() + text.size() && value >= least && value <= most) {
        ++at_;
        return value;
      }
    }
    want(std::move(what));
    return std::nullopt;
  }
  std::optional<std::uint64_t> count(std::uint64_t least, std::string what = "a whole number") {
    return number<std::uint64_t>(least, std::uint64_t{1} << 53, std::move(what));
  }
  std::optional<double> seconds() { return number<double>(0, 1e6, "a number of seconds"); }

  // What is wrong at the furthest place.
  [[nodiscard]] Error error() const;
  [[nodiscard]] Error error(std::string_view what) const { return input_error("{}: {}", place_, what); }

 private:
  void want(std::string what) {
    if (at_ < furthest_) return;
    if (at_ > furthest_) wanted_.clear();
    furthest_ = at_;
    wanted_.push_back(std::move(what));
  }

  std::string place_, line_;
  std::vector<std::string> words_;
  std::size_t at_ = 0, furthest_ = 0;
  std::vector<std::string> wanted_;
};

}  // namespace godwit::guard
