// A few rows times a matrix that is used once: its lanes go from memory into the sums, and no panel is made. This is decoding, where
// reading the weights is all the time there is.
#pragma once

#include "gemm_pack.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// Up to here turning a block in registers for each use is cheaper than a packed panel.
inline constexpr int few_rows = 4;
// Two columns vectors are two chains, so that one turns its block while the other waits for its sums.
inline constexpr int few_vectors = tile_vectors < 2 ? tile_vectors : 2;

// How the right operand lies in memory.
enum class Layout { indices_columns, columns_indices };

template <typename Chain, Layout layout, int rows>
[[gnu::noinline]] void multiply_few(const Rows& a, Matrix b, Range columns, std::int64_t indices, Range steps, const Target& target) {
  Sums<rows, few_vectors> sum;
  {
    [[maybe_unused]] const Mode<Chain::flush_mode> mode;
    begin<Chain, rows, few_vectors>(sum);
    const auto add = [&](int v, std::int64_t step, F32 x) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (int i = 0; i < rows; ++i) sum[i][v] = Chain::step(broadcast(a.row[i] + step * a.step), x, sum[i][v]);
    };
    if constexpr (layout == Layout::columns_indices) {
      for (std::int64_t at = steps.begin; at < steps.end; at += steps_per_block<Chain>) {
        const std::int64_t rest = steps.end - at;
        const Range range{at, at + (rest < steps_per_block<Chain> ? rest : steps_per_block<Chain>)};
#pragma GCC unroll 2
        for (int v = 0; v < few_vectors; ++v) {
          const std::int64_t column = columns.begin + v * lanes;
          const int n = part(columns.end - column);
          if (n > 0)
            block_across<Chain>(
                b, column, n, indices, range, [&](std::int64_t step, F32 x) __attribute__((always_inline)) { add(v, step, x); });
        }
      }
    } else {
      const auto add_all = [&](std::int64_t step, auto part_of) __attribute__((always_inline)) {
#pragma GCC unroll 2
        for (int v = 0; v < few_vectors; ++v) {
          const std::int64_t column = columns.begin + v * lanes;
          add(v, step, lanes_down<Chain>(b, column, part_of(columns.end - column), step, indices));
        }
      };
      if (columns.count() == few_vectors * lanes) {
        for (std::int64_t step = steps.begin; step < steps.end; ++step) add_all(step, [](std::int64_t) { return lanes; });
      } else {
        for (std::int64_t step = steps.begin; step < steps.end; ++step) add_all(step, part);
      }
    }
    end<Chain, rows, few_vectors>(sum);
  }
  put<rows, few_vectors>(sum, target);
}

using MultiplyFew = void (*)(const Rows& a, Matrix b, Range columns, std::int64_t indices, Range steps, const Target& target);

template <typename Chain, Layout layout, int... i>
constexpr std::array<MultiplyFew, sizeof...(i)> multiply_few_table(std::integer_sequence<int, i...>) {
  return {multiply_few<Chain, layout, i + 1>...};
}

template <typename Chain>
[[nodiscard]] MultiplyFew multiply_few_of(Layout layout, int rows) {
  constexpr auto sizes = std::make_integer_sequence<int, few_rows>{};
  static constexpr auto down = multiply_few_table<Chain, Layout::indices_columns>(sizes);
  static constexpr auto across = multiply_few_table<Chain, Layout::columns_indices>(sizes);
  return (layout == Layout::indices_columns ? down : across)[static_cast<std::size_t>(rows - 1)];
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
