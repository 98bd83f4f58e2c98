// Who is answered next, and which rows the next run has: pure functions over plain numbers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace godwit::infer {

// The next of the waiting requests, given by their owners in the order they came: the first of an owner with the fewest streams among
// `running`. Owners so take turns, however many requests each has.
[[nodiscard]] std::size_t next_waiting(std::span<const std::uint64_t> waiting, std::span<const std::uint64_t> running);

// A stream that is being answered.
struct Pending {
  std::int64_t rows = 1;     // ids whose latents are missing: 1, the last one, once the prompt has been read; 0: it waits for another's
  std::int64_t guesses = 0;  // rows to look ahead with, where it has one row
  std::uint64_t owner = 0;
};

// Rows of each stream in the next run; streams in the order they came. Every stream with one row has it and its guesses: answers go on
// whatever prompts there are. Prompts share `budget` rows beside them: each owner's first one equally (but at least 16 rows, fewer are not
// worth a run), then what is left goes in the order they came. A few rows beyond a power of two are left for the next run, because
// programs have powers of two of rows.
[[nodiscard]] std::vector<std::int64_t> schedule(std::span<const Pending> streams, std::int64_t budget);

}  // namespace godwit::infer
