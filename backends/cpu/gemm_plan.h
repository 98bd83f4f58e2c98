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

// With 16 blocks a thread the last one to finish wastes about 3 %, and a block is still tens of microseconds long. Many rows use
// a panel often while it lies in L2; many panels use converted rows often. The largest blocks that are enough in number win.
[[nodiscard]] inline Blocks choose_blocks(OutputShape shape, std::int64_t most_rows, int threads) {
  const std::int64_t panels = pieces(shape.columns, panel_width);
  constexpr std::int64_t wide = 256 / panel_width;
  constexpr std::int64_t narrow = 64 / panel_width;
  Blocks blocks{most_rows, wide};
  const auto enough = [&] {
    return shape.groups * pieces(shape.rows, blocks.rows) * pieces(panels, blocks.panels) >= std::int64_t{16} * threads;
  };
  if (enough()) return blocks;
  blocks.panels = narrow;
  while (!enough() && blocks.rows > 2 * tile_rows) blocks.rows = blocks.rows / 2 / tile_rows * tile_rows;
  return blocks;
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
