// What tasks draw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/random.h"

namespace godwit::data {

// From first to last, both included.
inline std::int64_t draw(RandomSequence& random, std::int64_t first, std::int64_t last) {
  return first + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(last - first) + 1));
}

// Fisher and Yates, from the end.
template <typename T>
void shuffle(RandomSequence& random, std::vector<T>& items) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

// Digits of a number that is not negative, as it is written.
inline std::int64_t digits_of(std::int64_t number) {
  std::int64_t digits = 1;
  for (; number >= 10; number /= 10) ++digits;
  return digits;
}

}  // namespace godwit::data
