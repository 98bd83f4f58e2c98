// Tiles: the sums one work-item makes together, the tables that say which rows are a tile's, and when a bf16 chain may be plain FMA.
#pragma once

#include "kernel.h"

namespace godwit::opencl {

// Text for what follows: `sums` (TILE_ROWS × TILE_COLUMNS numbers of a wide work-item, 4 × 4 of a tiled one), on wide devices TILE_CHAIN,
// exponents.
extern const char* const tile_text;

// Rows of groups cut into tiles of one group each, {group, first row, rows} a tile, group -1 where there is none. `offsets` is the input
// that has the groups' first rows, `samples` entries a group.
Argument plan_tiles(Plan& plan, std::size_t offsets, std::int64_t groups, std::int64_t samples, std::int64_t tile_count);
// Every group begins a tile of its own.
[[nodiscard]] std::int64_t tiles_max(const Traits& traits, std::int64_t rows, std::int64_t groups);

}  // namespace godwit::opencl
