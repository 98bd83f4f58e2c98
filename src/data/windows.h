// Which windows of a token stream an epoch visits, and in which order. Pure functions: sample i of the stream is known from i alone.
//
// A window is sequence + 1 ids; windows lie `sequence` apart, so that every id but the first is predicted once, and begin at a phase that
// is drawn anew for every epoch, so that over the epochs ids meet different contexts. With n ids in all:
//
//     count  = max(1, floor(n / sequence) − 1)     windows in every epoch, whatever its phase
//     phases = min(sequence, n − count · sequence)
//     epoch  = floor(i / count), place = i mod count
//     phase  = floor(u64 · phases / 2^64), the u64 at index 2^63 of (seed, Purpose::shuffle, step = epoch): an index no Permutation uses
//     begin  = phase + Permutation(count, seed, epoch)(place) · sequence
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "base/random.h"

namespace godwit::data {

class Windows {
 public:
  // ids > sequence ≥ 1
  Windows(std::uint64_t ids, std::uint64_t sequence)
      : sequence_(sequence), count_(std::max<std::uint64_t>(ids / sequence, 2) - 1), phases_(std::min(sequence, ids - count_ * sequence)) {
    CHECK(sequence >= 1 && ids > sequence, "windows of {} + 1 out of {} ids", sequence, ids);
  }

  std::uint64_t count() const { return count_; }
  std::uint64_t phases() const { return phases_; }

  std::uint64_t phase(std::uint64_t seed, std::uint64_t epoch) const {
    const std::uint64_t draw = RandomStream(seed, Purpose::shuffle, epoch).u64(std::uint64_t{1} << 63);
    __extension__ using Product = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Product>(draw) * phases_ >> 64);
  }
  // Where the window of sample `index` begins.
  std::uint64_t begin(std::uint64_t seed, std::uint64_t index) const {
    const std::uint64_t epoch = index / count_;
    return phase(seed, epoch) + Permutation(count_, seed, epoch)(index % count_) * sequence_;
  }

 private:
  std::uint64_t sequence_, count_, phases_;
};

}  // namespace godwit::data
