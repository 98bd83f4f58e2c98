// The pre_tokenizer of a tokenizer.json: splits a text into the pieces that are merged each for itself.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "text/regex.h"

namespace godwit::text {

// Immutable; usable from many threads, each with its own scratch.
class PreTokenizer {
 public:
  // A Sequence of Split and Digits that ends in ByteLevel, or a ByteLevel alone. `name` opens every error message.
  [[nodiscard]] static Result<PreTokenizer> from_json(const Json& json, std::string_view name);

  // Calls emit(std::string_view piece) for every piece in order. Every regex splits each piece the former left; matches and what lies
  // between them both become pieces. A piece is a part of `subject`, or, where ByteLevel puts a blank before it, lives for the call only.
  template <typename Emit>
  [[nodiscard]] Result<void> split(Subject subject, RegexScratch& scratch, Emit&& emit) const {
    return split_from(0, subject, scratch, emit);
  }

  // Pieces are always parts of the text.
  bool keeps_text() const { return !add_prefix_space_; }

 private:
  template <typename Emit>
  Result<void> split_from(std::size_t level, Subject subject, RegexScratch& scratch, Emit& emit) const {
    if (subject.text.empty()) return {};
    if (level == prefix_level_ && add_prefix_space_ && subject.text[0] != ' ') {
      const std::string prefixed = " " + std::string(subject.text);
      return split_at(level, {prefixed, subject.newer}, scratch, emit);
    }
    return split_at(level, subject, scratch, emit);
  }

  template <typename Emit>
  Result<void> split_at(std::size_t level, Subject subject, RegexScratch& scratch, Emit& emit) const {
    if (level == regexes_.size()) {
      emit(subject.text);
      return {};
    }
    const auto part = [&](std::size_t begin, std::size_t end) -> Result<void> {
      return split_from(level + 1, {subject.text.substr(begin, end - begin), subject.newer}, scratch, emit);
    };
    // As Oniguruma's find_iter: an empty match directly behind the last match is passed over.
    std::size_t from = 0, done = 0;
    bool matched = false;
    while (from <= subject.text.size()) {
      Match match{};
      const MatchStatus status = regexes_[level].next(subject, from, scratch, match);
      if (status == MatchStatus::failed) return limit_error(regexes_[level], subject.text.size());
      if (status == MatchStatus::none) break;
      if (match.begin == match.end && matched && match.end == done) {
        from += from < subject.text.size() ? character_bytes(subject.text[from]) : 1;
        continue;
      }
      if (match.begin > done) TRY(part(done, match.begin));
      if (match.end > match.begin) TRY(part(match.begin, match.end));
      from = done = match.end;
      matched = true;
    }
    if (done < subject.text.size()) TRY(part(done, subject.text.size()));
    return {};
  }

  static std::size_t character_bytes(char lead);
  static Error limit_error(const Regex& regex, std::size_t bytes);

  std::vector<Regex> regexes_;
  bool add_prefix_space_ = false;
  std::size_t prefix_level_ = 0;  // the level at whose entrance the blank is put: ByteLevel's own
};

}  // namespace godwit::text
