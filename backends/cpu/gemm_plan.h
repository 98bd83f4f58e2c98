// Into what pieces a product is cut: pure functions of shapes and the number of threads. No piece changes a bit of the result.
#pragma once

#include <cstdint>

#include "gemm_tile.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

[[nodiscard]] constexpr std::int64_t pieces(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

// A block of outputs is one thread's work: so many rows (a multiple of tile_rows) and panels of columns.
struct Blocks {
  std::int64_t rows = 0;
  std::int64_t panels = 0;

  friend bool operator==(const Blocks&, const Blocks&) = default;
};

struct OutputShape {
  std::int64_t groups = 0;
  std::int64_t rows = 0;  // of a typical group
  std::int64_t columns = 0;
};

// With 16 blocks a thread the last one to finish wastes about 3 %, and a block is still tens of microseconds long. Many rows use a panel
// often while it lies in L2; many panels use converted rows often. The largest blocks that are enough in number win.
[[nodiscard]] inline Blocks choose_blocks(OutputShape shape, int threads) {
  const std::int64_t panels = pieces(shape.columns, panel_width);
  const std::int64_t enough = threads == 1 ? 1 : std::int64_t{16} * threads;
  Blocks blocks{.rows = 96, .panels = 256 / panel_width};
  const auto count = [&] { return shape.groups * pieces(shape.rows, blocks.rows) * pieces(panels, blocks.panels); };
  if (count() >= enough) return blocks;
  blocks.panels = 64 / panel_width;
  while (count() < enough && blocks.rows > 2 * tile_rows) blocks.rows /= 2;
  return blocks;
}
static_assert(96 / 8 % tile_rows == 0);

}  // namespace godwit::cpu::GODWIT_ISA::gemm
