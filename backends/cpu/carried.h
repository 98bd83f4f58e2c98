// Sums that are carried from whoever makes a result to whoever uses it last: what changed while it waited has another sum then.
//
// Results are known by where they lie. A result takes the place of whatever lay there before. Of one device; one thread at a time, but for
// the sums' values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "inspect.h"
#include "pool.h"
#include "sums.h"

namespace godwit::cpu {

struct Carried {
  std::byte* data = nullptr;
  std::int64_t bytes = 0;
  std::int64_t chunk = 0;           // bytes that each have a sum; the last may be shorter
  std::int64_t row = 0;             // bytes
  std::vector<std::uint64_t> sums;
  godwit_finding made{};            // program, op and tensor it came from
  bool for_host = false;            // whoever looks for findings uses it next

  [[nodiscard]] std::int64_t chunks() const { return static_cast<std::int64_t>(sums.size()); }
  [[nodiscard]] std::int64_t chunks_worth_a_thread() const { return (std::int64_t{128} << 10) / chunk + 1; }
  [[nodiscard]] std::int64_t chunk_bytes(std::int64_t i) const { return i + 1 < chunks() ? chunk : bytes - i * chunk; }
  [[nodiscard]] std::uint64_t sum_of(std::int64_t i, SumBytes by) const { return by(data + i * chunk, chunk_bytes(i)); }
};

class CarriedSums {
 public:
  explicit CarriedSums(SumBytes by) : sum_(by) {}

  // A result that now lies there, with its sums.
  void place(Carried&& result);
  // The one of just these bytes, or null.
  [[nodiscard]] Carried* find(const void* data, std::int64_t bytes);
  [[nodiscard]] SumBytes sum() const { return sum_; }

  // Takes all sums of it.
  void take(Carried& result, Pool& pool) const;
  // Compares all; `changed(row)` is told the first row of each chunk that is not what it was, by any thread.
  template <typename Changed>
  void look(const Carried& result, Pool& pool, const Changed& changed) const {
    pool.ranges(result.chunks(), result.chunks_worth_a_thread(), [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t i = begin; i < end; ++i) {
        if (result.sum_of(i, sum_) != result.sums[static_cast<std::size_t>(i)]) changed(i * result.chunk / result.row);
      }
    });
  }
  // Looks at what waits for the host, once.
  void look_for_host(Pool& pool, Findings& findings);
  // Forgets what a program made, which goes.
  void forget(const godwit_prepared* program);

 private:
  SumBytes sum_;
  std::map<std::uintptr_t, Carried> results_;  // by where they begin; none overlaps another
};

}  // namespace godwit::cpu
