// A step's samples as they lie in memory that processes share: encoded by the keeper, read by workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/error.h"
#include "data/dataset.h"
#include "train/batch.h"
#include "train/scores.h"

namespace godwit::train {

struct Area {
  std::vector<data::Sample> samples;
  std::optional<Scores> scores;  // where the step takes any
  LabelCounts counts;            // of all of them
  data::Cursor cursor;           // behind them; empty for validation samples
};

// Bytes that hold `samples` samples of at most `predictions_max` predictions.
// `scores`: of each sample, from outside.
[[nodiscard]] std::int64_t area_bytes(std::int64_t samples, std::int64_t predictions_max, std::size_t cursor_length,
                                      std::int64_t scores = 0);
void write_area(std::span<std::byte> memory, std::span<const data::Sample> samples, const data::Cursor& cursor,
                const std::optional<Scores>& scores = std::nullopt);
// An error if the memory is not what was written: it carries a hash.
[[nodiscard]] Result<Area> read_area(std::span<const std::byte> memory);

// XXH3-128 over the hashes of 64 KiB blocks: of a proposal's node, of an area.
[[nodiscard]] BlockHash checksum(std::span<const std::byte> bytes, int threads);

}  // namespace godwit::train
