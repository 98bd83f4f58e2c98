#include "choice.h"

#include <fmt/format.h>

namespace godwit::opencl {

const char* style_name(Style style) {
  return style == Style::wide ? "wide" : "tiled";
}

Tile product_tile(const Traits& traits) {
  // Wide: two vectors of columns; as many rows as leave one register for a broadcast and two for the columns (of 16, and of AVX-512's 32).
  if (traits.style == Style::wide) return traits.vector >= 16 ? Tile{12, 32, 0} : Tile{6, 2 * traits.vector, 0};
  // Tiled: 16 × 16 work-items of 4 × 4 sums where the group may be so large, else 8 × 8 of them.
  const bool large = traits.group_max >= 256 && traits.local_bytes >= 2 * 64 * 16 * 4;
  return large ? Tile{64, 64, 16} : Tile{32, 32, 16};
}

bool few_rows(const Traits& traits, std::int64_t rows) {
  // Packing a weight costs about as much as two rows of its product.
  return rows <= (traits.style == Style::wide ? 2 : 8);
}

std::string style_defines(const Traits& traits) {
  const Tile tile = product_tile(traits);
  std::string defines = fmt::format("-DTILE_ROWS={} -DTILE_COLUMNS={}", tile.rows, tile.columns);
  if (traits.style == Style::wide) return defines + fmt::format(" -DWIDE -DVECTOR={}", traits.vector >= 16 ? 16 : 8);
  return defines + fmt::format(" -DTILE_SLAB={}", tile.slab);
}

}  // namespace godwit::opencl
