#include "infer/grammar/pattern.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "infer/grammar/characters_of_json.h"
#include "text/utf8.h"

namespace godwit::infer {
namespace {

constexpr std::size_t nfa_states_max = 200'000;
constexpr std::size_t groups_deep_max = 64;
constexpr std::uint64_t repeats_max = 10'000;

CodePoints ranges(std::vector<CodePoints::Range> list) {
  CodePoints set{std::move(list)};
  set.normalize();
  return set;
}

// \d, \w and \s as ECMA 262 has them without the flag u.
std::optional<CodePoints> class_escape(char c) {
  switch (c) {
    case 'd':
      return ranges({{'0', '9'}});
    case 'w':
      return ranges({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
    case 's':
      return ranges({{'\t', '\r'},
                     {' ', ' '},
                     {0xA0, 0xA0},
                     {0x1680, 0x1680},
                     {0x2000, 0x200A},
                     {0x2028, 0x2029},
                     {0x202F, 0x202F},
                     {0x205F, 0x205F},
                     {0x3000, 0x3000},
                     {0xFEFF, 0xFEFF}});
    case 'D':
    case 'W':
    case 'S':
      return class_escape(static_cast<char>(c - 'A' + 'a'))->complement();
    default:
      return std::nullopt;
  }
}

// Reads the pattern and adds to the automaton as it goes; a quantifier reads its atom again for every further copy.
class PatternParser {
 public:
  PatternParser(std::string_view pattern, Work& work) : pattern_(pattern), work_(work) {}

  Result<Dfa> run() {
    if (text::valid_run_end(pattern_, 0) != pattern_.size()) return input_error("it is not UTF-8");
    for (bool more = true; more;) {
      TRY(outer_alternative());
      more = take('|');
    }
    if (at_ < pattern_.size()) return unknown("a ) without a (");
    std::optional<Dfa> dfa = determinize(nfa_, work_);
    if (!dfa) return too_large();
    return *std::move(dfa);
  }

 private:
  using StateId = Nfa::StateId;

  Error unknown(std::string_view what) const { return input_error("{} at character {} of '{}' is not supported", what, at_, pattern_); }
  Error too_large() const { return input_error("the automaton of '{}' would be too large", pattern_); }

  bool take(char c) {
    if (at_ >= pattern_.size() || pattern_[at_] != c) return false;
    ++at_;
    return true;
  }
  [[nodiscard]] bool ahead(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }

  // Anything may stand before and behind, unless ^ and $ say otherwise.
  Result<void> outer_alternative() {
    StateId from = nfa_.state();
    nfa_.skip(Nfa::start(), from);
    if (!take('^')) canonical_character(nfa_, from, CodePoints::all(), from);
    // A loop behind must not be entered backwards through the sequence's own loops.
    const StateId begin = nfa_.state();
    nfa_.skip(from, begin);
    TRY_ASSIGN(const StateId to, sequence(begin, 0));
    if (take('$')) {
      if (at_ < pattern_.size() && pattern_[at_] != '|') return unknown("something behind $");
    } else {
      canonical_character(nfa_, to, CodePoints::all(), to);
    }
    nfa_.skip(to, Nfa::end());
    return {};
  }

  // Up to |, ), $ or the end; the state behind it.
  Result<StateId> sequence(StateId from, std::size_t depth) {
    while (at_ < pattern_.size() && pattern_[at_] != '|' && pattern_[at_] != ')' && pattern_[at_] != '$') {
      TRY_ASSIGN(from, quantified(from, depth));
    }
    const StateId end = nfa_.state();
    nfa_.skip(from, end);
    return end;
  }

  Result<StateId> alternatives(StateId from, std::size_t depth) {
    const StateId end = nfa_.state();
    do {
      TRY_ASSIGN(const StateId to, sequence(from, depth));
      if (ahead("$")) return unknown("$ inside a group");
      nfa_.skip(to, end);
    } while (take('|'));
    return end;
  }

  Result<StateId> quantified(StateId from, std::size_t depth) {
    const std::size_t begin = at_;
    // The atom is read into the automaton from a state of its own, so that repeating it cannot reach what stood before.
    const StateId first = nfa_.state();
    TRY_ASSIGN(StateId end, atom(first, depth));
    std::uint64_t min = 1;
    std::optional<std::uint64_t> max = 1;
    const std::size_t quantifier = at_;
    TRY(read_quantifier(min, max));
    take('?');  // how eagerly it matches does not change what matches
    if (ahead("*") || ahead("+") || ahead("?") || ahead("{")) return unknown("a second quantifier");
    const std::size_t behind = at_;
    const StateId result = nfa_.state();
    if (min == 0) nfa_.skip(from, result);
    if (max == 0u) return result;
    nfa_.skip(from, first);
    const std::uint64_t copies = max ? *max : std::max<std::uint64_t>(min, 1);
    StateId last_first = first;
    for (std::uint64_t copy = 1;; ++copy) {
      if (copy >= min) nfa_.skip(end, result);
      if (copy >= copies) break;
      if (nfa_.size() > nfa_states_max) return too_large();
      at_ = begin;
      last_first = nfa_.state();
      nfa_.skip(end, last_first);
      TRY_ASSIGN(end, atom(last_first, depth));
      CHECK(at_ == quantifier, "an atom was read differently the second time");
    }
    if (!max) nfa_.skip(end, last_first);
    at_ = behind;
    return result;
  }

  Result<void> read_quantifier(std::uint64_t& min, std::optional<std::uint64_t>& max) {
    if (take('*')) {
      min = 0;
      max.reset();
    } else if (take('+')) {
      max.reset();
    } else if (take('?')) {
      min = 0;
    } else if (ahead("{")) {
      ++at_;
      TRY_ASSIGN(min, number());
      max = min;
      if (take(',')) {
        max.reset();
        if (!ahead("}")) {
          TRY_ASSIGN(max, number());
          if (*max < min) return unknown("a quantifier whose end is below its beginning");
        }
      }
      if (!take('}')) return unknown("an open {");
    }
    return {};
  }

  Result<std::uint64_t> number() {
    std::uint64_t value = 0;
    const std::size_t begin = at_;
    while (at_ < pattern_.size() && pattern_[at_] >= '0' && pattern_[at_] <= '9') {
      value = value * 10 + static_cast<std::uint64_t>(pattern_[at_++] - '0');
      if (value > repeats_max) return input_error("a repetition in '{}' is above {}", pattern_, repeats_max);
    }
    if (at_ == begin) return unknown("a { without a number");
    return value;
  }

  // Bounds what nested quantifiers read again.
  Result<StateId> atom(StateId from, std::size_t depth) {
    if (nfa_.size() > nfa_states_max) return too_large();
    if (ahead("(")) return group(from, depth);
    CodePoints set;
    if (take('.')) {
      set = ranges({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}}).complement();
    } else if (ahead("[")) {
      TRY_ASSIGN(set, character_class());
    } else if (ahead("^")) {
      return unknown("^ inside the pattern");
    } else if (ahead("*") || ahead("+") || ahead("?") || ahead("{") || ahead("]") || ahead("}")) {
      return unknown(fmt::format("a {} of its own", pattern_[at_]));
    } else {
      TRY_ASSIGN(set, character());
    }
    const StateId to = nfa_.state();
    canonical_character(nfa_, from, set, to);
    return to;
  }

  Result<StateId> group(StateId from, std::size_t depth) {
    if (depth >= groups_deep_max) return unknown("a group so deep");
    ++at_;
    if (ahead("?")) {
      if (ahead("?:")) {
        at_ += 2;
      } else if (ahead("?<") && !ahead("?<=") && !ahead("?<!")) {
        at_ = pattern_.find('>', at_);
        if (at_ == std::string_view::npos) {
          at_ = pattern_.size();
          return unknown("a group's name without an end");
        }
        ++at_;
      } else {
        return unknown("look-around, or a group of such a kind,");
      }
    }
    TRY_ASSIGN(const StateId to, alternatives(from, depth + 1));
    if (!take(')')) return unknown("an open (");
    return to;
  }

  // One character, plain or escaped, or an escape for a class.
  Result<CodePoints> character() {
    if (!ahead("\\")) {
      const char32_t c = text::code_point(pattern_, at_);
      at_ += text::character_length(pattern_, at_);
      return ranges({{c, c}});
    }
    ++at_;
    if (at_ >= pattern_.size()) return unknown("a \\ at the end");
    const char c = pattern_[at_];
    if (std::optional<CodePoints> set = class_escape(c)) {
      ++at_;
      return *std::move(set);
    }
    static constexpr std::array<std::pair<char, std::uint32_t>, 6> controls{
        {{'n', '\n'}, {'r', '\r'}, {'t', '\t'}, {'f', '\f'}, {'v', '\v'}, {'0', 0}}};
    for (const auto& [letter, code] : controls) {
      if (c != letter) continue;
      ++at_;
      return ranges({{code, code}});
    }
    if (c == 'x' || c == 'u') return hexadecimal(c == 'x' ? 2 : 4);
    const bool letter_or_digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (letter_or_digit) return unknown(fmt::format("\\{}", c));
    const char32_t code = text::code_point(pattern_, at_);
    at_ += text::character_length(pattern_, at_);
    return ranges({{code, code}});
  }

  Result<CodePoints> hexadecimal(std::size_t digits) {
    ++at_;
    std::uint32_t code = 0;
    for (std::size_t i = 0; i < digits; ++i, ++at_) {
      static constexpr std::string_view hex = "0123456789abcdef";
      const char digit = at_ < pattern_.size() ? pattern_[at_] : ' ';
      const std::size_t value = hex.find(digit >= 'A' && digit <= 'F' ? static_cast<char>(digit - 'A' + 'a') : digit);
      if (value == std::string_view::npos) return unknown("an escape whose digits are not hexadecimal");
      code = code * 16 + static_cast<std::uint32_t>(value);
    }
    if (code >= 0xD800 && code < 0xE000) return unknown("half a surrogate pair");
    return ranges({{code, code}});
  }

  Result<CodePoints> character_class() {
    ++at_;
    const bool negated = take('^');
    CodePoints set;
    while (!take(']')) {
      if (at_ >= pattern_.size()) return unknown("an open [");
      TRY_ASSIGN(CodePoints first, class_character());
      const bool single = first.ranges.size() == 1 && first.ranges[0].low == first.ranges[0].high;
      if (ahead("-") && !ahead("-]")) {
        ++at_;
        TRY_ASSIGN(const CodePoints last, class_character());
        const bool both = single && last.ranges.size() == 1 && last.ranges[0].low == last.ranges[0].high;
        if (!both || last.ranges[0].low < first.ranges[0].low) return unknown("such a range of characters");
        first.ranges[0].high = last.ranges[0].low;
      }
      set.ranges.insert(set.ranges.end(), first.ranges.begin(), first.ranges.end());
    }
    set.normalize();
    return negated ? set.complement() : set;
  }

  Result<CodePoints> class_character() {
    if (at_ >= pattern_.size()) return unknown("an open [");
    if (ahead("\\b")) {
      at_ += 2;
      return ranges({{'\b', '\b'}});
    }
    return character();
  }

  std::string_view pattern_;
  Work& work_;
  std::size_t at_ = 0;
  Nfa nfa_;
};

// Days that exist, leap years by the Gregorian rule, no year 0.
std::string date_pattern() {
  const std::string_view year = "([0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";
  const std::string_view leap = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[48]|[2468][048]|[13579][26])00)";
  return fmt::format(
      "({0}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|{1}-02-29)", year,
      leap);
}

constexpr std::string_view time_pattern = "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])";

}  // namespace

Result<Dfa> pattern_strings(std::string_view pattern, Work& work) {
  return PatternParser(pattern, work).run();
}

Result<Dfa> format_strings(std::string_view format, Work& work) {
  if (format == "date") return pattern_strings(fmt::format("^{}$", date_pattern()), work);
  if (format == "time") return pattern_strings(fmt::format("^{}$", time_pattern), work);
  if (format == "date-time") return pattern_strings(fmt::format("^{}T{}$", date_pattern(), time_pattern), work);
  if (format == "uuid") return pattern_strings("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", work);
  if (format == "email") {
    return pattern_strings("^[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\\.)+[A-Za-z]{2,}$", work);
  }
  if (format == "ipv4") {
    constexpr std::string_view byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    return pattern_strings(fmt::format("^({0}\\.){{3}}{0}$", byte), work);
  }
  return input_error("'{}' is not one of date-time, date, time, uuid, email, ipv4", format);
}

std::optional<Dfa> strings_of_length(std::uint64_t min, std::optional<std::uint64_t> max, Work& work) {
  if (max.value_or(min) > Dfa::states_max) return std::nullopt;
  Nfa nfa;
  Nfa::StateId at = Nfa::start();
  for (std::uint64_t length = 0;; ++length) {
    if (length >= min) nfa.skip(at, Nfa::end());
    if (length == max.value_or(min)) break;
    const Nfa::StateId next = nfa.state();
    canonical_character(nfa, at, CodePoints::all(), next);
    at = next;
  }
  if (!max) canonical_character(nfa, at, CodePoints::all(), at);
  return determinize(nfa, work);
}

}  // namespace godwit::infer
