// The right operand as blocks of 8 bits, turned into lanes in registers: a weight that is read once costs half of what bf16 does.
//
// A panel is panel_width columns, one block of 32 indices after another: the scale of each column, then a row of numbers for each index.
// The rows lie in the order of the chain's steps. What a panel lacks in columns, and its last block in indices, is zero.
#pragma once

#include "gemm_pack.h"
#include "gemm_plan.h"
#include "mxint8.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

inline constexpr std::int64_t block_bytes = (1 + mxint8::block_length) * panel_width;
template <typename Chain>
inline constexpr std::int64_t steps_of_block = mxint8::block_length / Chain::indices_per_step;
static_assert(segment % mxint8::block_length == 0);

[[nodiscard]] constexpr std::int64_t blocks_bytes(std::int64_t indices) {
  return pieces(indices, mxint8::block_length) * block_bytes;
}

// The row of an index within its block, of `indices` in all.
template <typename Chain>
[[nodiscard]] std::int64_t row_of_index(std::int64_t index, std::int64_t indices) {
  if constexpr (Chain::indices_per_step == 2) return index % mxint8::block_length;
  return index_of<Chain>(index, indices) % mxint8::block_length;  // its own inverse
}

// The lanes of sixteen columns at one step, whose numbers begin at `row`. A number times a scale is exact, in bf16 too.
template <typename Chain>
[[gnu::always_inline]] inline F32 block_lanes(const std::byte* row, F32 scale) {
  const auto* numbers = reinterpret_cast<const std::int8_t*>(row);
  if constexpr (Chain::indices_per_step == 2) {
    const F32 even = to_f32(loadi8(numbers)) * scale;
    const F32 odd = to_f32(loadi8(numbers + panel_width)) * scale;
    return from_bits(shift_right<16>(bits(even)) | bits(odd));
  } else {
    return to_f32(loadi8(numbers)) * scale;
  }
}
[[gnu::always_inline]] inline F32 block_scale(const std::byte* block) {
  return from_bits(shift_left<23>(loadu8(reinterpret_cast<const std::uint8_t*>(block))));
}

// multiply() over `vectors` vectors of neighbouring panels, `panel_stride` bytes apart. `first` is the first step of a block.
template <typename Chain, int rows, int vectors>
[[gnu::noinline]] void multiply_blocks(const Rows& a, std::int64_t first, const std::byte* panel, std::int64_t panel_stride,
                                       std::int64_t steps, const Target& target) {
  Sums<rows, vectors> sum;
  {
    [[maybe_unused]] const Mode<Chain::flush_mode> mode;
    begin<Chain, rows, vectors>(sum);
    const std::byte* row[rows];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) row[i] = a.row[i] + first * a.step;
    const std::byte* block = panel + first / steps_of_block<Chain> * block_bytes;
    std::int64_t at = 0;
    for (std::int64_t rest = steps; rest > 0; rest -= steps_of_block<Chain>, block += block_bytes) {
      F32 scale[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) scale[v] = block_scale(block + v / tile_vectors * panel_stride + v % tile_vectors * lanes);
      const std::byte* numbers = block + panel_width;
      const std::int64_t end = at + (rest < steps_of_block<Chain> ? rest : steps_of_block<Chain>)*a.step;
      for (; at != end; at += a.step, numbers += Chain::indices_per_step * panel_width) {
        F32 column[vectors];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v)
          column[v] = block_lanes<Chain>(numbers + v / tile_vectors * panel_stride + v % tile_vectors * lanes, scale[v]);
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
          const F32 lane = broadcast(row[i] + at);
#pragma GCC unroll 8
          for (int v = 0; v < vectors; ++v) sum[i][v] = Chain::step(lane, column[v], sum[i][v]);
        }
      }
    }
    end<Chain, rows, vectors>(sum);
  }
  put<rows, vectors>(sum, target);
}

// Panels that go through together, so that as many chains are under way as an instruction takes cycles.
[[nodiscard]] constexpr int panels_together(int rows) {
  return tile_vectors > 1 ? 1 : rows == 1 ? 4 : rows == 2 ? 2 : 1;
}

using MultiplyBlocks = void (*)(const Rows& a, std::int64_t first, const std::byte* panel, std::int64_t panel_stride, std::int64_t steps,
                                const Target& target);

template <typename Chain, int rows>
[[nodiscard]] MultiplyBlocks multiply_blocks_of(int panels) {
  if constexpr (panels_together(rows) == 4) {
    if (panels == 4) return multiply_blocks<Chain, rows, 4 * tile_vectors>;
    if (panels == 3) return multiply_blocks<Chain, rows, 3 * tile_vectors>;
  }
  if constexpr (panels_together(rows) >= 2) {
    if (panels == 2) return multiply_blocks<Chain, rows, 2 * tile_vectors>;
  }
  return multiply_blocks<Chain, rows, tile_vectors>;
}
template <typename Chain, int... i>
MultiplyBlocks multiply_blocks_of(int rows, int panels, std::integer_sequence<int, i...>) {
  MultiplyBlocks found = nullptr;
  static_cast<void>(((rows == i + 1 ? (found = multiply_blocks_of<Chain, i + 1>(panels), true) : false) || ...));
  return found;
}
template <typename Chain>
[[nodiscard]] MultiplyBlocks multiply_blocks_of(int rows, int panels) {
  return multiply_blocks_of<Chain>(rows, panels, std::make_integer_sequence<int, tile_rows>{});
}

// A panel of lanes, as pack_across makes it of the same values, panel_width floats a step.
template <typename Chain>
void unpack_blocks(const std::byte* panel, std::int64_t steps, float* to) {
  for (std::int64_t first = 0; first < steps; first += steps_of_block<Chain>, panel += block_bytes) {
    const std::int64_t count = steps - first < steps_of_block<Chain> ? steps - first : steps_of_block<Chain>;
#pragma GCC unroll 8
    for (int v = 0; v < tile_vectors; ++v) {
      const F32 scale = block_scale(panel + v * lanes);
      const std::byte* numbers = panel + panel_width + v * lanes;
      for (std::int64_t step = 0; step < count; ++step)
        store(to + (first + step) * panel_width + v * lanes,
              block_lanes<Chain>(numbers + step * Chain::indices_per_step * panel_width, scale));
    }
  }
}

// A panel's blocks `range` from f32 columns, whose indices lie along memory; the columns beyond `columns` are zero. each(column, index,
// block) sees what was made.
template <typename Chain, typename Each>
void pack_blocks(Matrix m, std::int64_t indices, Range columns, Range range, std::byte* panel, const Each& each) {
  for (std::int64_t b = range.begin; b < range.end; ++b) {
    std::byte* block = panel + b * block_bytes;
    std::memset(block + panel_width, 0, static_cast<std::size_t>(block_bytes - panel_width));
    std::memset(block, 1, static_cast<std::size_t>(panel_width));
    const std::int64_t index = b * mxint8::block_length;
    const std::int64_t count = std::min(mxint8::block_length, indices - index);
    for (std::int64_t c = 0; c < columns.count(); ++c) {
      const mxint8::Block made = mxint8::block_of(as_f32(m.row(columns.begin + c)) + index, count);
      block[c] = static_cast<std::byte>(made.scale);
      for (std::int64_t i = 0; i < count; ++i)
        block[panel_width + row_of_index<Chain>(index + i, indices) * panel_width + c] = static_cast<std::byte>(made.numbers[i]);
      each(c, index, count, made);
    }
  }
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
