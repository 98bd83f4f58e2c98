#include "store/narrow.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace godwit::store {

Result<void> write_narrowed(std::span<const float> values, FileDtype dtype, const std::string& name, const ByteSink& sink) {
  constexpr std::size_t piece_elements = 1 << 16;
  if (dtype == FileDtype::f32) return sink(std::as_bytes(values));
  std::vector<std::byte> piece;
  const std::uint16_t infinity = dtype == FileDtype::bf16 ? 0x7f80 : 0x7c00;
  for (std::size_t start = 0; start < values.size(); start += piece_elements) {
    const auto part = values.subspan(start, std::min(piece_elements, values.size() - start));
    piece.resize(part.size() * dtype_bytes(dtype));
    from_f32(part, dtype, piece);
    for (std::size_t i = 0; i < part.size(); ++i) {
      std::uint16_t bits;
      std::memcpy(&bits, piece.data() + i * sizeof bits, sizeof bits);
      if ((bits & 0x7fff) == infinity && std::isfinite(part[i])) {
        return input_error("{}: element {} is {}, which {} can only hold as infinity; export as f32{}", name, start + i, part[i],
                           dtype_name(dtype), dtype == FileDtype::f16 ? " or bf16" : "");
      }
    }
    TRY(sink(piece));
  }
  return {};
}

}  // namespace godwit::store
