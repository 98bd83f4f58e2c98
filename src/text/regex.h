// The regexes of tokenizer.json, which are Oniguruma's, run by PCRE2.
//
// The two engines differ (\s and U+180E, \h, \v, \w, \p{Han}, {n}+, nested classes, …). A pattern is therefore translated construct by
// construct; what does not certainly mean the same in both is refused by name.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace godwit::text {

// What a match writes; one per thread.
class RegexScratch {
 public:
  RegexScratch();

 private:
  friend class Regex;
  std::shared_ptr<void> match_data_;
};

struct Match {
  std::size_t begin, end;
};

// What is searched: valid UTF-8. `newer` = has_newer_characters(text), worked out once for a whole text, not for each of its pieces.
struct Subject {
  std::string_view text;
  bool newer = false;
};

// Does the text hold characters younger than PCRE2's Unicode tables (unicode_newer.h)? They need the slower of the two compiled forms.
[[nodiscard]] bool has_newer_characters(std::string_view text);

enum class MatchStatus { found, none, failed };

// Compiled once, then immutable and usable from many threads.
class Regex {
 public:
  // `name` opens the error message ("tokenizer.json: pre_tokenizer 2").
  [[nodiscard]] static Result<Regex> compile(std::string_view oniguruma, std::string_view name);
  // Matches exactly this text.
  [[nodiscard]] static Result<Regex> literal(std::string_view text, std::string_view name);

  // The first match that begins at or after `from`; lookbehind sees what is before. `failed`: the matching limit.
  [[nodiscard]] MatchStatus next(Subject subject, std::size_t from, RegexScratch& scratch, Match& match) const;

  [[nodiscard]] const std::string& pattern() const { return pattern_; }

 private:
  Regex() = default;

  struct Code {
    std::shared_ptr<void> code;
    bool jit = false;
  };
  [[nodiscard]] static Result<Code> compile_translated(std::string_view pcre2, std::string_view oniguruma, std::string_view name);

  std::string pattern_;
  Code plain_, newer_;
};

// Exposed for its test.
[[nodiscard]] Result<std::string> oniguruma_to_pcre2(std::string_view pattern, bool newer, std::string_view name);

}  // namespace godwit::text
