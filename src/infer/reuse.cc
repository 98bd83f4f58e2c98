#include "infer/reuse.h"

#include <algorithm>

namespace godwit::infer {

namespace {

// Fewer rows than this are not worth a step's wait.
constexpr std::int64_t least_wait = 16;

bool alike(const Progress& a, const Progress& b) {
  return a.owner != 0 && a.owner == b.owner && a.chain == b.chain;
}

// The last id's row is everybody's own: its logits are wanted.
std::span<const std::int32_t> wanted(const Progress& stream) {
  return stream.ids.first(stream.ids.size() - 1);
}

}  // namespace

std::optional<Rows> rows_of_another(std::span<const Progress> streams, std::size_t of, std::int64_t page_size) {
  const Progress& asking = streams[of];
  Rows best{.stream = of, .end = asking.done};
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (i == of || !alike(streams[i], asking)) continue;
    const std::int64_t end = std::min({streams[i].done, page_size, common_beginning(streams[i].ids, wanted(asking))});
    if (end > best.end) best = {i, end};
  }
  if (best.stream == of) return std::nullopt;
  return best;
}

bool reads_for(std::span<const Progress> streams, std::size_t of) {
  const Progress& asking = streams[of];
  return std::ranges::any_of(streams.first(of), [&](const Progress& earlier) {
    // Who has one id left is answering: what it will write is not known.
    return alike(earlier, asking) && std::ssize(earlier.ids) - earlier.done > 1 &&
           common_beginning(earlier.ids, wanted(asking)) - std::max(asking.done, earlier.done) >= least_wait;
  });
}

}  // namespace godwit::infer
