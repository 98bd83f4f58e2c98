// Random numbers as pure functions: Philox4x32-10 (Salmon et al., SC'11), keyed by what a number is for. There is no generator state to
// save: any number can be asked for in any order, on any thread or machine, and is always the same.
//
// Packing, part of the arithmetic profile (u32 words; lo and hi are the halves of a 64-bit value):
//
//     key     = { seed lo, seed hi }
//     counter = { index lo, index hi, step lo, purpose << 24 | step hi }        step < 2^56, purpose < 256
//
// One (seed, purpose, step, index) gives four words. `step` is whatever numbers the draws of a purpose coarsely (training step, tensor,
// epoch, prompt), `index` finely (element, position in the answer).
#pragma once

#include <array>
#include <cstdint>

namespace godwit {

// The values are part of the format: never renumber, only add.
enum class Purpose : std::uint8_t {
  init = 1,        // step = tensor in declaration order, index = element
  shuffle = 2,     // see Permutation
  sample = 3,      // choosing the next token
  mix = 4,         // choosing the part of a weighted mix
  validation = 5,  // choosing what is kept for validation
  task = 6,        // problems of tasks: step = 2 · problem + 1 if it is for evaluation, index = draw
  fault = 7,       // where injected faults strike
  test = 8,        // data of tests and benchmarks
  check = 9,       // what results are checked with, and which of them: never state
  reward = 10,     // rewards by chance; step = completion
};

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

constexpr PhiloxCounter philox(PhiloxCounter counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9;  // the golden ratio and sqrt(3) - 1: Weyl sequences
    key[1] += 0xBB67AE85;
  }
  return counter;
}

// [0, 1): the top 24 bits times 2^-24; every value is exact.
constexpr float uniform_f32(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1p-24f;
}
// [0, 1): the top 53 bits times 2^-53.
constexpr double uniform_f64(std::uint64_t word) {
  return static_cast<double>(word >> 11) * 0x1p-53;
}

// All the numbers of one (seed, purpose, step), by index.
class RandomStream {
 public:
  RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t step);

  // The four words of an index.
  std::array<std::uint32_t, 4> words(std::uint64_t index) const;
  // The first one, two words of an index: the low word of a 64-bit value is words[0].
  std::uint32_t u32(std::uint64_t index) const { return words(index)[0]; }
  std::uint64_t u64(std::uint64_t index) const;
  float f32(std::uint64_t index) const { return uniform_f32(u32(index)); }
  double f64(std::uint64_t index) const { return uniform_f64(u64(index)); }

 private:
  PhiloxKey key_;
  std::uint32_t step_low_, purpose_and_step_high_;
};

// The same numbers one after the other, for those who draw an unknown count: u64(0), u64(1), ….
class RandomSequence {
 public:
  explicit RandomSequence(RandomStream stream) : stream_(stream) {}
  std::uint64_t u64() { return stream_.u64(next_++); }
  double f64() { return uniform_f64(u64()); }
  float f32() { return uniform_f32(static_cast<std::uint32_t>(u64() >> 32)); }
  // 0 ≤ result < count without bias: the high half of draw × count, drawn again while the low half < 2^64 mod count (Lemire 2019). count >
  // 0.
  std::uint64_t below(std::uint64_t count);

 private:
  RandomStream stream_;
  std::uint64_t next_ = 0;
};

// A shuffle of 0 … count-1 that needs no memory: where (seed, epoch) puts item i, for any i alone.
//
// A Feistel network of 8 rounds over 2h bits, h = max(4, half the bits of count-1, rounded up), walked until the result is < count. Round r
// maps the halves (left, right) to (right, left xor the low h bits of word 0 of Philox), with counter { right, r, epoch lo, purpose << 24 |
// epoch hi }, purpose = shuffle, key = seed; the high half of i is the first left.
class Permutation {
 public:
  Permutation(std::uint64_t count, std::uint64_t seed, std::uint64_t epoch);
  // index < count
  std::uint64_t operator()(std::uint64_t index) const;

 private:
  std::uint64_t count_;
  PhiloxKey key_;
  std::uint32_t epoch_low_, purpose_and_epoch_high_;
  int half_bits_;
};

}  // namespace godwit
