#include "infer/grammar/characters_of_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

namespace godwit::infer {
namespace {

constexpr std::uint32_t surrogates_begin = 0xD800, surrogates_end = 0xE000;

std::size_t encode(std::uint32_t c, std::array<unsigned char, 4>& bytes) {
  const auto low_six = [&](int shift) { return static_cast<unsigned char>(0x80 | ((c >> shift) & 0x3F)); };
  if (c < 0x80) {
    bytes = {static_cast<unsigned char>(c)};
    return 1;
  }
  if (c < 0x800) {
    bytes = {static_cast<unsigned char>(0xC0 | (c >> 6)), low_six(0)};
    return 2;
  }
  if (c < 0x10000) {
    bytes = {static_cast<unsigned char>(0xE0 | (c >> 12)), low_six(6), low_six(0)};
    return 3;
  }
  bytes = {static_cast<unsigned char>(0xF0 | (c >> 18)), low_six(12), low_six(6), low_six(0)};
  return 4;
}

bool needs_escape(std::uint32_t c) {
  return c < 0x20 || c == '"' || c == '\\';
}

void escaped(Nfa& nfa, Nfa::StateId from, std::uint32_t c, Nfa::StateId to) {
  static constexpr std::string_view letters = "\"\"\\\\b\bf\fn\nr\rt\t";  // the escape's letter, then what it stands for
  for (std::size_t i = 0; i < letters.size(); i += 2) {
    if (static_cast<unsigned char>(letters[i + 1]) == c) return nfa.literal(from, std::string{'\\', letters[i]}, to);
  }
  const std::string lower = fmt::format("\\u{:04x}", c), upper = fmt::format("\\u{:04X}", c);
  nfa.literal(from, lower, to);
  if (upper != lower) nfa.literal(from, upper, to);
}

}  // namespace

void CodePoints::normalize() {
  std::ranges::sort(ranges, {}, &Range::low);
  std::vector<Range> joined;
  for (const Range& range : ranges) {
    if (!joined.empty() && range.low <= joined.back().high + 1) {
      joined.back().high = std::max(joined.back().high, range.high);
    } else {
      joined.push_back(range);
    }
  }
  ranges = std::move(joined);
}

CodePoints CodePoints::complement() const {
  CodePoints others;
  std::uint32_t next = 0;
  for (const Range& range : ranges) {
    if (range.low > next) others.ranges.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= last) others.ranges.push_back({next, last});
  return others;
}

// Cut where the length changes, around the surrogates, and where more than the last bytes differ.
void utf8_ranges(std::uint32_t low, std::uint32_t high, const std::function<void(std::span<const ByteRange>)>& emit) {
  if (low > high) return;
  const auto cut_before = [&](std::uint32_t border) {
    utf8_ranges(low, border - 1, emit);
    utf8_ranges(border, high, emit);
  };
  for (const std::uint32_t border : {0x80u, 0x800u, surrogates_begin, surrogates_end, 0x10000u}) {
    if (low < border && border <= high) return cut_before(border);
  }
  if (low >= surrogates_begin && high < surrogates_end) return;
  for (const std::uint32_t tail : {0x3Fu, 0xFFFu, 0x3FFFFu}) {
    if (low < 0x80 || (low & ~tail) == (high & ~tail)) break;
    if ((low & tail) != 0) return cut_before((low | tail) + 1);
    if ((high & tail) != tail) return cut_before(high & ~tail);
  }
  std::array<unsigned char, 4> first{}, final{};
  const std::size_t length = encode(low, first);
  encode(high, final);
  std::array<ByteRange, 4> bytes{};
  for (std::size_t i = 0; i < length; ++i) bytes[i] = {first[i], final[i]};
  emit(std::span(bytes).first(length));
}

void canonical_character(Nfa& nfa, Nfa::StateId from, const CodePoints& set, Nfa::StateId to) {
  const auto plain = [&](std::uint32_t low, std::uint32_t high) {
    utf8_ranges(low, high, [&](std::span<const ByteRange> bytes) {
      Nfa::StateId at = from;
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        const Nfa::StateId next = i + 1 == bytes.size() ? to : nfa.state();
        nfa.on(at, bytes[i].low, bytes[i].high, next);
        at = next;
      }
    });
  };
  for (const auto& [low, high] : set.ranges) {
    std::uint32_t begin = low;
    for (std::uint32_t c = low; c <= std::min<std::uint32_t>(high, '\\'); ++c) {
      if (!needs_escape(c)) continue;
      if (c > begin) plain(begin, c - 1);
      escaped(nfa, from, c, to);
      begin = c + 1;
    }
    plain(begin, high);
  }
}

}  // namespace godwit::infer
