#include "infer/reuse.h"

#include <algorithm>

namespace godwit::infer {

namespace {

// Fewer rows than this are not worth a step's wait.
constexpr std::int64_t least_wait = 16;

bool alike(const Progress& a, const Progress& b) {
  return a.owner != 0 && a.owner == b.owner && a.chain == b.chain;
}

// Ids that both begin with, up to `most`: beyond what is asked for nobody looks, however long prompts are. The last id's row is everybody's
// own: its logits are wanted.
std::int64_t in_common(const Progress& other, const Progress& asking, std::int64_t most) {
  const auto begin = [&](std::span<const std::int32_t> ids, std::int64_t own) {
    return ids.first(static_cast<std::size_t>(std::min(std::ssize(ids) - own, most)));
  };
  return common_beginning(begin(other.ids, 0), begin(asking.ids, 1));
}

}  // namespace

std::optional<Rows> rows_of_another(std::span<const Progress> streams, std::size_t of, std::int64_t page_size) {
  const Progress& asking = streams[of];
  Rows best{.stream = of, .end = asking.done};
  for (std::size_t i = 0; i < streams.size(); ++i) {
    if (i == of || !alike(streams[i], asking)) continue;
    const std::int64_t end = in_common(streams[i], asking, std::min(streams[i].done, page_size));
    if (end > best.end) best = {i, end};
  }
  if (best.stream == of) return std::nullopt;
  return best;
}

bool reads_for(std::span<const Progress> streams, std::size_t of) {
  const Progress& asking = streams[of];
  return std::ranges::any_of(streams.first(of), [&](const Progress& earlier) {
    // Who has one id left is answering: what it will write is not known.
    const std::int64_t enough = std::max(asking.done, earlier.done) + least_wait;
    return alike(earlier, asking) && std::ssize(earlier.ids) - earlier.done > 1 && in_common(earlier, asking, enough) == enough;
  });
}

}  // namespace godwit::infer
