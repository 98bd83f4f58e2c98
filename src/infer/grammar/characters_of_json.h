// How the characters of a JSON string are spelled: sets of code points as sets of bytes between the quotes.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "infer/grammar/dfa.h"

namespace godwit::infer {

// Ranges of code points, ascending and apart; surrogates may be within and spell nothing.
struct CodePoints {
  struct Range {
    std::uint32_t low, high;
  };
  std::vector<Range> ranges;

  static constexpr std::uint32_t last = 0x10FFFF;
  [[nodiscard]] static CodePoints all() { return {{{0, last}}}; }
  // Sorted, and joined where they touch.
  void normalize();
  [[nodiscard]] CodePoints complement() const;
};

// The byte ranges, one for each byte of a character, that together spell the code points from `low` to `high` in UTF-8.
struct ByteRange {
  unsigned char low, high;
};
void utf8_ranges(std::uint32_t low, std::uint32_t high, const std::function<void(std::span<const ByteRange>)>& emit);

// One character of the set, each in one spelling: itself, or the shortest escape where JSON demands one.
void canonical_character(Nfa& nfa, Nfa::StateId from, const CodePoints& set, Nfa::StateId to);

}  // namespace godwit::infer
