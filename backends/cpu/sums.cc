#include "sums.h"

#include <cstring>

#include "simd.h"

namespace godwit::cpu::GODWIT_ISA {

namespace {

// What the instruction set has registers for, and few enough of them that none is spilled.
#if defined(GODWIT_SIMD_512)
using Words = std::uint64_t __attribute__((vector_size(64)));
#elif defined(GODWIT_SIMD_256)
using Words = std::uint64_t __attribute__((vector_size(32)));
#else
using Words = std::uint64_t __attribute__((vector_size(16)));
#endif

constexpr std::int64_t at_once = 2;
constexpr std::int64_t line = at_once * static_cast<std::int64_t>(sizeof(Words));
constexpr std::int64_t lines_per_block = 63;  // fewer than a word has bits: within a block no turned word comes to lie where it was
constexpr std::uint64_t odd1 = 0x9E3779B97F4A7C15u;
constexpr std::uint64_t odd2 = 0xC2B2AE3D27D4EB4Fu;

template <typename Word>
__attribute__((always_inline)) inline Word mix(Word sum, Word word, std::uint64_t odd) {
  sum = (sum ^ word) * odd;
  return sum ^ sum >> 29;
}

// Of every word's place in a line two sums: of words, and of words turned by one bit for each line that follows.
struct Block {
  Words plain[at_once] = {};
  Words turned[at_once] = {};

  __attribute__((always_inline)) void add(const std::byte* data) {
#pragma GCC unroll 2
    for (std::int64_t i = 0; i < at_once; ++i) {
      Words word;
      std::memcpy(&word, data + i * static_cast<std::int64_t>(sizeof word), sizeof word);
      plain[i] += word;
      turned[i] = (turned[i] << 1 | turned[i] >> 63) ^ word;
    }
  }
};

}  // namespace

extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes) {
  Words plain[at_once] = {};
  Words turned[at_once] = {};
  std::int64_t at = 0;
  while (at < bytes) {
    Block block;
    std::int64_t lines = 0;
    for (; lines < lines_per_block && at + line <= bytes; ++lines, at += line) block.add(data + at);
    if (lines < lines_per_block && at < bytes) {
      alignas(64) std::byte rest[line] = {};
      std::memcpy(rest, data + at, static_cast<std::size_t>(bytes - at));
      block.add(rest);
      at = bytes;
    }
    // Apart, and each reversible: what changes one of them is seen at the end.
    for (std::int64_t i = 0; i < at_once; ++i) {
      plain[i] = mix(plain[i], block.plain[i], odd1);
      turned[i] = mix(turned[i], block.turned[i], odd2);
    }
  }
  std::uint64_t sum = static_cast<std::uint64_t>(bytes);
  for (std::int64_t i = 0; i < at_once; ++i) {
    for (std::size_t k = 0; k < sizeof(Words) / sizeof(std::uint64_t); ++k) sum = mix<std::uint64_t>(mix<std::uint64_t>(sum, plain[i][k], odd1), turned[i][k], odd2);
  }
  return sum;
}

}  // namespace godwit::cpu::GODWIT_ISA
