// What a stream need not compute because others of its owner have, or are about to: pure functions over the streams.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "infer/pages.h"

namespace godwit::infer {

// A stream on its way through its ids. Streams of one owner with the same chain have the same full pages, and so the same ids in them.
struct Progress {
  std::uint64_t owner = 0;
  Pages::Chain chain = 0;             // the end of its full pages
  std::span<const std::int32_t> ids;  // behind those
  std::int64_t done = 0;              // of these, computed: their rows are in the stream's next page
};

// Rows of `streams[of]`'s next page, beyond those it has, that another stream has in its own: whose, and up to which row they are alike.
struct Rows {
  std::size_t stream = 0;
  std::int64_t end = 0;
};
[[nodiscard]] std::optional<Rows> rows_of_another(std::span<const Progress> streams, std::size_t of, std::int64_t page_size);

// Whether an earlier one of the streams reads ids that `streams[of]` would read, enough of them that it had better wait and copy.
[[nodiscard]] bool reads_for(std::span<const Progress> streams, std::size_t of);

}  // namespace godwit::infer
