#include "text/regex.h"

#include <algorithm>
#include <array>
#include <vector>

#include "text/unicode_newer.h"
#include "text/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace godwit::text {
namespace {

constexpr std::string_view hex_members = "0-9A-Fa-f";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Oniguruma ignores case, blanks, '-' and '_' in property names; PCRE2 10.42 knows general categories only by their short names.
struct Property {
  std::string_view name, pcre2;
};
constexpr std::array properties{
    Property{"letter", "L"},
    Property{"uppercaseletter", "Lu"},
    Property{"lowercaseletter", "Ll"},
    Property{"titlecaseletter", "Lt"},
    Property{"modifierletter", "Lm"},
    Property{"otherletter", "Lo"},
    Property{"mark", "M"},
    Property{"nonspacingmark", "Mn"},
    Property{"spacingmark", "Mc"},
    Property{"enclosingmark", "Me"},
    Property{"number", "N"},
    Property{"decimalnumber", "Nd"},
    Property{"letternumber", "Nl"},
    Property{"othernumber", "No"},
    Property{"punctuation", "P"},
    Property{"connectorpunctuation", "Pc"},
    Property{"dashpunctuation", "Pd"},
    Property{"openpunctuation", "Ps"},
    Property{"closepunctuation", "Pe"},
    Property{"initialpunctuation", "Pi"},
    Property{"finalpunctuation", "Pf"},
    Property{"otherpunctuation", "Po"},
    Property{"symbol", "S"},
    Property{"mathsymbol", "Sm"},
    Property{"currencysymbol", "Sc"},
    Property{"modifiersymbol", "Sk"},
    Property{"othersymbol", "So"},
    Property{"separator", "Z"},
    Property{"spaceseparator", "Zs"},
    Property{"lineseparator", "Zl"},
    Property{"paragraphseparator", "Zp"},
};
constexpr std::array<std::string_view, 11> scripts{"Han",      "Hiragana", "Katakana", "Hangul", "Latin",     "Greek",
                                                   "Cyrillic", "Arabic",   "Hebrew",   "Thai",   "Devanagari"};
// Without C and Cn: what is unassigned depends on the version of Unicode.
constexpr std::array<std::string_view, 34> categories{"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd",
                                                      "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
                                                      "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf", "Co"};

std::string folded(std::string_view name) {
  std::string result;
  for (const char c : name) {
    if (c == ' ' || c == '_' || c == '-') continue;
    result.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return result;
}

// Folds that turn one character into several (ß and ss, ﬁ and fi, …): Oniguruma applies them under (?i:), PCRE2 does not.
bool folds_to_one_character(std::string_view letters) {
  const std::string lower = folded(letters);
  return std::ranges::any_of(std::array<std::string_view, 5>{"ss", "ff", "fi", "fl", "st"},
                             [&](std::string_view pair) { return lower.find(pair) != std::string::npos; });
}

// Members of a class: the younger characters of a category (L means Lu, Ll, … too) or script.
std::string newer_members(std::string_view property) {
  std::string members;
  for (const NewerRange& range : newer_ranges) {
    const bool of_category = property.size() == 1 && range.property.size() == 2 && range.property[0] == property[0];
    if (of_category || range.property == property) {
      members += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", static_cast<unsigned>(range.first), static_cast<unsigned>(range.last));
    }
  }
  return members;
}

class Translator {
 public:
  Translator(std::string_view pattern, bool newer, std::string_view name) : pattern_(pattern), name_(name), newer_(newer) {}

  Result<std::string> run() {
    while (!at_end()) TRY(element());
    return std::move(out_);
  }

 private:
  enum class Escape { character, set, assertion };

  bool at_end() const { return i_ >= pattern_.size(); }
  char here(std::size_t ahead = 0) const { return i_ + ahead < pattern_.size() ? pattern_[i_ + ahead] : '\0'; }
  bool starts(std::string_view text) const { return pattern_.substr(i_).starts_with(text); }

  Error refuse(std::string_view what) const {
    return input_error("{}: the regex {} has, at byte {}, {}, which this reader does not support", name_, pattern_, i_, what);
  }

  void copy_character() {
    const std::size_t length = std::max<std::size_t>(1, character_length(pattern_, i_));
    out_ += pattern_.substr(i_, length);
    i_ += length;
  }

  Result<void> element() {
    switch (here()) {
      case '\\': {
        TRY_ASSIGN([[maybe_unused]] const Escape kind, escape(false));
        return {};
      }
      case '[':
        return character_class();
      case '(':
        return group();
      case '*':
      case '+':
      case '?':
        out_ += here();
        ++i_;
        return quantifier_suffix();
      case '{':
        return interval();
      case '}':
      case ']':
        out_ += '\\';
        out_ += here();
        ++i_;
        return {};
      default:
        copy_character();
        return {};
    }
  }

  Result<void> quantifier_suffix() {
    if (here() == '?' || here() == '+') {  // lazy and possessive: the same in both
      out_ += here();
      ++i_;
    }
    if (here() == '*' || here() == '+' || here() == '?') return refuse("a quantifier of a quantifier");
    return {};
  }

  Result<void> interval() {
    std::size_t j = i_ + 1;
    const auto number = [&] {
      const std::size_t begin = j;
      while (j < pattern_.size() && is_digit(pattern_[j])) ++j;
      return pattern_.substr(begin, j - begin);
    };
    const std::string_view low = number();
    const bool comma = j < pattern_.size() && pattern_[j] == ',';
    if (comma) ++j;
    const std::string_view high = comma ? number() : low;
    if (j >= pattern_.size() || pattern_[j] != '}' || (low.empty() && high.empty())) {
      out_ += "\\{";  // both engines take a brace that is no interval as itself
      ++i_;
      return {};
    }
    if (low.size() > 5 || high.size() > 5) return refuse("a very long interval");
    if (!high.empty() && !low.empty() && std::stoi(std::string(low)) > std::stoi(std::string(high))) return refuse("a reversed interval");
    out_ += fmt::format("{{{}{}}}", low.empty() ? "0" : low, comma ? fmt::format(",{}", high) : "");
    i_ = j + 1;
    if (here() == '+' || here() == '*') return refuse("a quantifier of an interval");  // {n,m}+ is not possessive in Oniguruma
    if (here() == '?') {
      if (!comma) return refuse("{n}?");  // lazy in PCRE2, optional in Oniguruma
      return quantifier_suffix();
    }
    return {};
  }

  Result<void> group() {
    if (here(1) != '?') {
      out_ += "(?:";  // captures are of no use to a split
      ++i_;
      return {};
    }
    if (starts("(?i:")) {
      const std::size_t close = pattern_.find(')', i_);
      const std::string_view inner = close == std::string_view::npos ? "" : pattern_.substr(i_ + 4, close - i_ - 4);
      const bool plain = std::ranges::all_of(inner, [](char c) { return is_letter(c) || c == '|' || c == '\''; });
      if (!plain || folds_to_one_character(inner)) return refuse("(?i:…) around more than plain words");
    } else if (!starts("(?:") && !starts("(?=") && !starts("(?!") && !starts("(?>") && !starts("(?<=") && !starts("(?<!")) {
      return refuse("the group " + std::string(pattern_.substr(i_, 4)));
    }
    const std::size_t length = starts("(?<") || starts("(?i:") ? 4 : 3;
    out_ += pattern_.substr(i_, length);
    i_ += length;
    return {};
  }

  Result<void> character_class() {
    out_ += '[';
    ++i_;
    if (here() == '^') {
      out_ += '^';
      ++i_;
    }
    if (here() == ']') return refuse("an empty class");
    while (here() != ']') {
      if (at_end()) return refuse("a class without end");
      TRY_ASSIGN(const Escape kind, class_item());
      if (kind == Escape::character && here() == '-' && here(1) != ']' && i_ + 1 < pattern_.size()) {
        out_ += '-';
        ++i_;
        TRY_ASSIGN(const Escape end, class_item());
        if (end != Escape::character) return refuse("a range that ends in a set");
        if (here() == '-' && here(1) != ']') return refuse("a range of a range");
      }
    }
    out_ += ']';
    ++i_;
    return {};
  }

  Result<Escape> class_item() {
    if (here() == '\\') return escape(true);
    if (here() == '[') return refuse("a class inside a class");
    if (starts("&&")) return refuse("an intersection of classes");
    if (here() == '-') {
      out_ += "\\-";
      ++i_;
    } else {
      copy_character();
    }
    return Escape::character;
  }

  Escape emit(std::string_view text, std::size_t consumed, Escape kind) {
    out_ += text;
    i_ += consumed;
    return kind;
  }

  // A set spelled as members of a class: bare inside a class, bracketed outside.
  Result<Escape> members(std::string_view set, bool negated, bool in_class, std::size_t consumed) {
    if (in_class && negated) return refuse("a negated set inside a class");
    return emit(in_class ? std::string(set) : fmt::format("[{}{}]", negated ? "^" : "", set), consumed, Escape::set);
  }

  // pcre2 is the property as PCRE2 spells it, plain as unicode_newer.h does.
  std::string property_members(std::string_view pcre2, std::string_view plain) const {
    return fmt::format("\\p{{{}}}{}", pcre2, newer_ ? newer_members(plain) : "");
  }

  // Oniguruma's \w: Alphabetic, M, Nd, Pc and, from its table of the first 256, six numbers of Latin-1.
  std::string word_members() const {
    return "\\p{Alphabetic}" + property_members("L", "L") + property_members("M", "M") + property_members("Nd", "Nd") +
           "\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}";
  }

  Result<Escape> escape(bool in_class) {
    const char c = here(1);
    switch (c) {
      case 's':
        return emit("\\p{White_Space}", 2, Escape::set);  // PCRE2's own \s has U+180E besides
      case 'S':
        return emit("\\P{White_Space}", 2, Escape::set);
      case 'd':
      case 'D':
        return members(property_members("Nd", "Nd"), c == 'D', in_class, 2);
      case 'w':
      case 'W':
        return members(word_members(), c == 'W', in_class, 2);
      case 'h':
      case 'H':
        return members(hex_members, c == 'H', in_class, 2);  // Oniguruma: a hexadecimal digit; PCRE2: a horizontal blank
      case 'n':
      case 'r':
      case 't':
      case 'f':
      case 'a':
      case 'e':
        return emit(pattern_.substr(i_, 2), 2, Escape::character);
      case 'v':
        return emit("\\x{b}", 2, Escape::character);  // PCRE2: any vertical blank
      case 'p':
      case 'P':
        return property(in_class);
      case 'x':
      case 'u':
        return numeric();
      case 'A':
      case 'z':
        if (!in_class) return emit(pattern_.substr(i_, 2), 2, Escape::assertion);
        break;
      default:
        break;
    }
    if (c == '\0' || is_letter(c) || is_digit(c)) return refuse(fmt::format("the escape \\{}", c));
    if (static_cast<unsigned char>(c) >= 0x80) {
      ++i_;
      copy_character();
      return Escape::character;
    }
    return emit(pattern_.substr(i_, 2), 2, Escape::character);
  }

  Result<Escape> numeric() {
    const bool braced = here(1) == 'x' && here(2) == '{';
    const std::size_t begin = braced ? 3 : 2;
    const std::size_t most = braced ? 6 : here(1) == 'x' ? 2 : 4;
    std::size_t length = 0;
    while (length < most && is_hex(here(begin + length))) ++length;
    if (length == 0 || (here(1) == 'u' && length != 4) || (braced && here(begin + length) != '}')) return refuse("a broken numeric escape");
    const std::string digits(pattern_.substr(i_ + begin, length));
    if (here(1) == 'x' && !braced && std::stoul(digits, nullptr, 16) >= 0x80) return refuse("a raw byte above \\x7F");
    return emit(fmt::format("\\x{{{}}}", digits), begin + length + (braced ? 1 : 0), Escape::character);
  }

  Result<Escape> property(bool in_class) {
    const std::size_t close = pattern_.find('}', i_);
    if (here(2) != '{' || close == std::string_view::npos) return refuse("\\p without {…}");
    const bool caret = here(3) == '^';
    const std::size_t begin = i_ + (caret ? 4 : 3);
    const std::string_view name = pattern_.substr(begin, close - begin);
    const bool negated = caret != (here(1) == 'P');
    const std::string known = folded(name);
    std::string plain, pcre2;
    for (const std::string_view category : categories) {
      if (folded(category) == known) plain = pcre2 = category;
    }
    for (const Property& property : properties) {
      if (property.name == known) plain = pcre2 = property.pcre2;
    }
    for (const std::string_view script : scripts) {
      if (folded(script) != known) continue;
      plain = script;
      pcre2 = "sc:" + plain;  // bare, PCRE2 would take script extensions
    }
    if (plain.empty()) return refuse(fmt::format("the property {}", name));
    return members(property_members(pcre2, plain), negated, in_class, close + 1 - i_);
  }

  std::string_view pattern_, name_;
  bool newer_;
  std::size_t i_ = 0;
  std::string out_;
};

}  // namespace

RegexScratch::RegexScratch()
    : match_data_(pcre2_match_data_create(1, nullptr), [](void* data) { pcre2_match_data_free(static_cast<pcre2_match_data*>(data)); }) {
  CHECK(match_data_ != nullptr, "no memory for a regex match");
}

bool has_newer_characters(std::string_view text) {
  struct Range {
    char32_t first, last;
  };
  static const std::vector<Range> merged = [] {  // categories and scripts overlap
    auto sorted = newer_ranges;
    std::ranges::sort(sorted, {}, &NewerRange::first);
    std::vector<Range> ranges;
    for (const NewerRange& range : sorted) {
      if (!ranges.empty() && range.first <= ranges.back().last) {
        ranges.back().last = std::max(ranges.back().last, range.last);
      } else {
        ranges.push_back({range.first, range.last});
      }
    }
    return ranges;
  }();
  for (std::size_t i = 0; i < text.size();) {
    // All of them are above U+07FF: three bytes or more.
    if (static_cast<unsigned char>(text[i]) < 0xE0) {
      ++i;
      continue;
    }
    const char32_t c = code_point(text, i);
    const auto after = std::ranges::upper_bound(merged, c, {}, &Range::first);
    if (after != merged.begin() && c <= std::prev(after)->last) return true;
    i += c < 0x10000 ? 3 : 4;
  }
  return false;
}

Result<std::string> oniguruma_to_pcre2(std::string_view pattern, bool newer, std::string_view name) {
  return Translator(pattern, newer, name).run();
}

Result<Regex> Regex::compile(std::string_view oniguruma, std::string_view name) {
  if (oniguruma.size() > 1 << 16) return input_error("{}: a regex of {} bytes; at most 65536 are read", name, oniguruma.size());
  TRY_ASSIGN(const std::string plain, oniguruma_to_pcre2(oniguruma, false, name));
  TRY_ASSIGN(const std::string newer, oniguruma_to_pcre2(oniguruma, true, name));
  Regex regex;
  regex.pattern_ = oniguruma;
  TRY_ASSIGN(regex.plain_, compile_translated(plain, oniguruma, name));
  regex.newer_ = regex.plain_;
  if (newer != plain) {
    TRY_ASSIGN(regex.newer_, compile_translated(newer, oniguruma, name));
  }
  return regex;
}

Result<Regex> Regex::literal(std::string_view text, std::string_view name) {
  if (text.size() > 1 << 16) return input_error("{}: a split text of {} bytes; at most 65536 are read", name, text.size());
  std::string escaped;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x80 && !is_letter(c) && !is_digit(c)) escaped += '\\';
    escaped += c;
  }
  Regex regex;
  regex.pattern_ = text;
  TRY_ASSIGN(regex.plain_, compile_translated(escaped, text, name));
  regex.newer_ = regex.plain_;
  return regex;
}

Result<Regex::Code> Regex::compile_translated(std::string_view pcre2, std::string_view oniguruma, std::string_view name) {
  const std::shared_ptr<pcre2_compile_context> context(pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  CHECK(context != nullptr, "no memory for a regex");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);  // the library's default is a build option
  int error = 0;
  PCRE2_SIZE offset = 0;
  // MULTILINE: Oniguruma's Ruby syntax lets ^ and $ match at every line.
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2.data()), pcre2.size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, context.get());
  if (code == nullptr) {
    std::array<char, 256> message{};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message.data()), message.size());
    return input_error("{}: the regex {} does not compile: {}", name, oniguruma, message.data());
  }
  Code compiled;
  compiled.code = std::shared_ptr<void>(code, [](void* c) { pcre2_code_free(static_cast<pcre2_code*>(c)); });
  compiled.jit = pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) == 0;
  return compiled;
}

MatchStatus Regex::next(Subject subject, std::size_t from, RegexScratch& scratch, Match& match) const {
  const Code& code = subject.newer ? newer_ : plain_;
  const auto* compiled = static_cast<const pcre2_code*>(code.code.get());
  auto* data = static_cast<pcre2_match_data*>(scratch.match_data_.get());
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.text.data());
  int result = PCRE2_ERROR_JIT_STACKLIMIT;
  if (code.jit) result = pcre2_jit_match(compiled, text, subject.text.size(), from, 0, data, nullptr);
  // The interpreter backtracks on the heap, so it goes where the JIT's small stack does not reach.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = pcre2_match(compiled, text, subject.text.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, data, nullptr);
  }
  if (result == PCRE2_ERROR_NOMATCH) return MatchStatus::none;
  if (result < 0) return MatchStatus::failed;
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data);
  match = {bounds[0], bounds[1]};
  return MatchStatus::found;
}

}  // namespace godwit::text
