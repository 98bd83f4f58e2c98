#include "sums.h"

#include <cstring>

#include "simd.h"

namespace godwit::cpu::GODWIT_ISA {

namespace {

// ---- By AES rounds, where the machine has them ----

#if defined(GODWIT_SIMD_256) || defined(GODWIT_SIMD_512)

constexpr std::int64_t states = 8;  // a round takes four to five cycles and two can begin in each
constexpr std::int64_t line = states * 16;

// One AES round of a state, with the data as its key, is reversible in both: a change of one word of 16 bytes is never lost. A changed bit is 4
// changed bytes after one round of its state and 16 after two, which no other single bit takes back.
__attribute__((target("aes"))) std::uint64_t sum_by_rounds(const std::byte* data, std::int64_t bytes) {
  __m128i state[states];
#pragma GCC unroll 8
  for (std::int64_t i = 0; i < states; ++i) state[i] = _mm_set_epi64x(static_cast<std::int64_t>(0x9E3779B97F4A7C15u * static_cast<std::uint64_t>(i + 1)), bytes);
  const auto add = [&](const std::byte* from) __attribute__((target("aes"), always_inline)) {
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < states; ++i) {
      state[i] = _mm_aesenc_si128(state[i], _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * 16)));
    }
  };
  std::int64_t at = 0;
  for (; at + line <= bytes; at += line) add(data + at);
  if (at < bytes) {
    alignas(64) std::byte rest[line] = {};
    std::memcpy(rest, data + at, static_cast<std::size_t>(bytes - at));
    add(rest);
  }
  __m128i all = state[0];
  for (std::int64_t i = 1; i < states; ++i) all = _mm_aesenc_si128(all, state[i]);
  for (int i = 0; i < 3; ++i) all = _mm_aesenc_si128(all, _mm_set1_epi64x(static_cast<std::int64_t>(0xC2B2AE3D27D4EB4Fu)));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(all));
}

bool has_rounds() {
  static const bool has = __builtin_cpu_supports("aes") != 0;
  return has;
}

#else

std::uint64_t sum_by_rounds(const std::byte*, std::int64_t) {
  return 0;
}
constexpr bool has_rounds() {
  return false;
}

#endif

// ---- By words ----

// What the instruction set has registers for, and few enough of them that none is spilled.
#if defined(GODWIT_SIMD_512)
using Words = std::uint64_t __attribute__((vector_size(64)));
#elif defined(GODWIT_SIMD_256)
using Words = std::uint64_t __attribute__((vector_size(32)));
#else
using Words = std::uint64_t __attribute__((vector_size(16)));
#endif

constexpr std::int64_t at_once = 2;
constexpr std::int64_t words_line = at_once * static_cast<std::int64_t>(sizeof(Words));
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

std::uint64_t sum_by_words(const std::byte* data, std::int64_t bytes) {
  Words plain[at_once] = {};
  Words turned[at_once] = {};
  std::int64_t at = 0;
  while (at < bytes) {
    Block block;
    std::int64_t lines = 0;
    for (; lines < lines_per_block && at + words_line <= bytes; ++lines, at += words_line) block.add(data + at);
    if (lines < lines_per_block && at < bytes) {
      alignas(64) std::byte rest[words_line] = {};
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

}  // namespace

extern std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes);
std::uint64_t sum_of_bytes(const std::byte* data, std::int64_t bytes) {
  return has_rounds() ? sum_by_rounds(data, bytes) : sum_by_words(data, bytes);
}

}  // namespace godwit::cpu::GODWIT_ISA
