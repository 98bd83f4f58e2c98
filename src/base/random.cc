#include "base/random.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "base/check.h"

namespace godwit {
namespace {

std::uint32_t low(std::uint64_t value) {
  return static_cast<std::uint32_t>(value);
}
std::uint32_t high(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

std::uint32_t with_purpose(Purpose purpose, std::uint64_t step) {
  CHECK(step < std::uint64_t{1} << 56, "a random stream's step is below 2^56, not {}", step);
  return static_cast<std::uint32_t>(purpose) << 24 | high(step);
}

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, Purpose purpose, std::uint64_t step)
    : key_{low(seed), high(seed)}, step_low_(low(step)), purpose_and_step_high_(with_purpose(purpose, step)) {}

std::array<std::uint32_t, 4> RandomStream::words(std::uint64_t index) const {
  return philox({low(index), high(index), step_low_, purpose_and_step_high_}, key_);
}

std::uint64_t RandomStream::u64(std::uint64_t index) const {
  const auto all = words(index);
  return std::uint64_t{all[1]} << 32 | all[0];
}

std::uint64_t RandomSequence::below(std::uint64_t count) {
  CHECK(count > 0, "a number below 0 was asked for");
  const std::uint64_t biased = (0 - count) % count;  // 2^64 mod count
  for (;;) {
    __extension__ using Product = unsigned __int128;
    const Product product = static_cast<Product>(u64()) * count;
    if (static_cast<std::uint64_t>(product) >= biased) return static_cast<std::uint64_t>(product >> 64);
  }
}

Permutation::Permutation(std::uint64_t count, std::uint64_t seed, std::uint64_t epoch)
    : count_(count),
      key_{low(seed), high(seed)},
      epoch_low_(low(epoch)),
      purpose_and_epoch_high_(with_purpose(Purpose::shuffle, epoch)),
      half_bits_(std::max(4, count == 0 ? 0 : (static_cast<int>(std::bit_width(count - 1)) + 1) / 2)) {}

std::uint64_t Permutation::operator()(std::uint64_t index) const {
  CHECK(index < count_, "item {} of a permutation of {}", index, count_);
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  do {
    std::uint64_t left = index >> half_bits_, right = index & mask;
    for (std::uint32_t round = 0; round < 8; ++round) {
      const std::uint64_t mixed = philox({low(right), round, epoch_low_, purpose_and_epoch_high_}, key_)[0] & mask;
      left = std::exchange(right, left ^ mixed);
    }
    index = left << half_bits_ | right;
  } while (index >= count_);
  return index;
}

}  // namespace godwit
