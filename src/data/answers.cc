#include "data/answers.h"

#include <algorithm>

namespace godwit::data {
namespace {

constexpr std::string_view white = " \t\r\n\f\v";

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_choice(char c) {
  return c >= 'A' && c <= 'H';
}

// The digits of "1,234,567" or "1234567"; nothing where commas stand elsewhere.
std::optional<std::string> whole_digits(std::string_view text) {
  std::string digits;
  const std::size_t first_comma = text.find(',');
  if (first_comma != std::string_view::npos && (first_comma == 0 || first_comma > 3)) return std::nullopt;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool comma_wanted = first_comma != std::string_view::npos && i >= first_comma && (i - first_comma) % 4 == 0;
    if (comma_wanted != (text[i] == ',')) return std::nullopt;
    if (comma_wanted) continue;
    if (!is_digit(text[i])) return std::nullopt;
    digits += text[i];
  }
  if (first_comma != std::string_view::npos && (text.size() - first_comma) % 4 != 0) return std::nullopt;
  return digits;
}

// The last number in a text, white space and words around it apart.
std::optional<std::string> last_number(std::string_view text) {
  const std::size_t last = text.find_last_of("0123456789");
  if (last == std::string_view::npos) return std::nullopt;
  std::size_t begin = last;
  while (begin > 0 && (is_digit(text[begin - 1]) || text[begin - 1] == ',' || text[begin - 1] == '.')) --begin;
  while (!is_digit(text[begin]) && text[begin] != '.') ++begin;
  // A minus belongs to the number unless it subtracts from what stands before it.
  const bool dollar = begin > 0 && text[begin - 1] == '$';
  const std::size_t sign = begin - (dollar ? 1 : 0);
  const bool minus =
      sign > 0 && text[sign - 1] == '-' && (sign == 1 || !(is_digit(text[sign - 2]) || is_letter(text[sign - 2]) || text[sign - 2] == ')'));
  const std::string prefix = minus ? "-" : "";
  // Where it is no number ("1,2") it is a list: what stands behind its first mark is tried.
  for (;;) {
    const std::string_view piece = text.substr(begin, last + 1 - begin);
    if (auto number = number_in(begin == sign + (dollar ? 1 : 0) ? prefix + std::string(piece) : std::string(piece))) return number;
    const std::size_t mark = piece.find_first_of(",.");
    if (mark == std::string_view::npos) return std::nullopt;
    begin += mark + 1;
  }
}

std::optional<std::string> answered_number(std::string_view answer) {
  if (auto whole = number_in(answer)) return whole;
  if (const std::size_t mark = answer.rfind("####"); mark != std::string_view::npos) {
    const std::string_view behind = trimmed(answer.substr(mark + 4));
    return last_number(behind.substr(0, behind.find('\n')));
  }
  return last_number(answer);
}

// The letter of "B", "(B)", "B." and "B) because". What only begins with "(B)" may go on to "is wrong, so (C)".
std::optional<char> leading_choice(std::string_view text) {
  text = trimmed(text);
  if (text.size() == 3 && text[0] == '(' && is_choice(text[1]) && text[2] == ')') return text[1];
  if (text.empty() || !is_choice(text[0])) return std::nullopt;
  if (text.size() == 1 || std::string_view(".):,").find(text[1]) != std::string_view::npos) return text[0];
  return std::nullopt;
}

std::optional<char> answered_choice(std::string_view answer) {
  if (const auto letter = leading_choice(answer)) return letter;
  const auto word = [](char c) { return is_letter(c) || is_digit(c) || c == '\'' || c == '_'; };
  for (std::size_t i = answer.size(); i-- > 0;) {
    const bool alone = (i == 0 || !word(answer[i - 1])) && (i + 1 == answer.size() || !word(answer[i + 1]));
    if (is_choice(answer[i]) && alone) return answer[i];
  }
  return std::nullopt;
}

// A letter alone, as truths are written.
bool is_choice_alone(std::string_view truth) {
  return truth.size() == 1 ? is_choice(truth[0]) : truth.size() == 3 && leading_choice(truth).has_value() && truth[0] == '(';
}

}  // namespace

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(white);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(white) + 1 - begin);
}

std::optional<std::string> number_in(std::string_view text) {
  text = trimmed(text);
  bool minus = false;
  const auto take_sign = [&] {
    if (text.empty() || (text[0] != '-' && text[0] != '+')) return false;
    minus = text[0] == '-';
    text.remove_prefix(1);
    return true;
  };
  const bool sign = take_sign();
  if (text.starts_with('$')) text.remove_prefix(1);
  if (!sign) take_sign();
  if (text.ends_with('.')) text.remove_suffix(1);
  if (text.ends_with('%')) text.remove_suffix(1);
  const std::size_t point = std::min(text.find('.'), text.size());
  std::string_view fraction = text.substr(std::min(point + 1, text.size()));
  if (point == text.size() ? text.empty() : fraction.empty()) return std::nullopt;
  if (!std::ranges::all_of(fraction, is_digit)) return std::nullopt;
  std::optional<std::string> whole = whole_digits(text.substr(0, point));
  if (!whole) return std::nullopt;
  whole->erase(0, std::min(whole->find_first_not_of('0'), whole->size()));
  fraction = fraction.substr(0, fraction.find_last_not_of('0') + 1);
  if (whole->empty()) *whole = "0";
  std::string number = *whole + (fraction.empty() ? "" : ".") + std::string(fraction);
  return minus && number != "0" ? "-" + number : number;
}

bool same_number(std::string_view truth, std::string_view answer) {
  const auto one = number_in(truth), other = number_in(answer);
  return one && other && *one == *other;
}

std::optional<std::string> boxed(std::string_view text) {
  constexpr std::string_view opening = "\\boxed{";
  for (std::size_t at = text.rfind(opening); at != std::string_view::npos;
       at = at == 0 ? std::string_view::npos : text.rfind(opening, at - 1)) {
    const std::size_t begin = at + opening.size();
    int depth = 1;
    for (std::size_t i = begin; i < text.size(); ++i) {
      depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
      if (depth == 0) return std::string(trimmed(text.substr(begin, i - begin)));
    }
  }
  return std::nullopt;
}

bool same_answer(Compare compare, std::string_view truth, std::string_view answer) {
  const std::string right = boxed(truth).value_or(std::string(trimmed(truth)));
  const std::string given = boxed(answer).value_or(std::string(trimmed(answer)));
  if (compare == Compare::automatic) {
    compare = number_in(right) ? Compare::number : is_choice_alone(right) ? Compare::choice : Compare::text;
  }
  if (compare == Compare::text) return right == given;
  if (compare == Compare::number) {
    const auto one = number_in(right), other = answered_number(given);
    return one && other && *one == *other;
  }
  const auto one = leading_choice(right), other = answered_choice(given);
  return one && other && *one == *other;
}

}  // namespace godwit::data
