#include "carried.h"

#include <iterator>
#include <limits>
#include <utility>

namespace godwit::cpu {

void CarriedSums::place(Carried&& result) {
  const auto begin = reinterpret_cast<std::uintptr_t>(result.data);
  const std::uintptr_t end = begin + static_cast<std::uintptr_t>(result.bytes);
  auto at = results_.lower_bound(begin);
  if (at != results_.begin()) {
    const auto before = std::prev(at);
    if (before->first + static_cast<std::uintptr_t>(before->second.bytes) > begin) results_.erase(before);
  }
  while (at != results_.end() && at->first < end) at = results_.erase(at);
  results_.emplace_hint(at, begin, std::move(result));
}

Carried* CarriedSums::find(const void* data, std::int64_t bytes) {
  const auto found = results_.find(reinterpret_cast<std::uintptr_t>(data));
  return found == results_.end() || found->second.bytes != bytes ? nullptr : &found->second;
}

void CarriedSums::take(Carried& result, Pool& pool) const {
  pool.ranges(result.chunks(), result.chunks_worth_a_thread(), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) result.sums[static_cast<std::size_t>(i)] = result.sum_of(i, sum_);
  });
}

void CarriedSums::look_for_host(Pool& pool, Findings& findings) {
  for (auto& entry : results_) {
    Carried& result = entry.second;
    if (!result.for_host) continue;
    result.for_host = false;
    look(result, pool, [&](std::int64_t row) {
      godwit_finding found = result.made;
      found.row = row;
      found.difference = std::numeric_limits<double>::infinity();
      findings.add(found);
    });
  }
}

void CarriedSums::forget(const godwit_prepared* program) {
  std::erase_if(results_, [&](const auto& entry) { return entry.second.made.prepared == program; });
}

}  // namespace godwit::cpu
