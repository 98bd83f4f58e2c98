// How the products inside attention are checked while their sums lie in L1, and spoilt on purpose: rows of a block against a random vector,
// as gemm_check.h has it.
#pragma once

#include <cmath>
#include <vector>

#include "attention_tile.h"
#include "gemm_check.h"

namespace godwit::cpu::GODWIT_ISA::attend {

using gemm::Bounds;
using gemm::Factors;
using gemm::Matrix;

inline Matrix matrix_of(const void* data, std::int64_t stride_bytes) {
  return {static_cast<const std::byte*>(data), stride_bytes};
}

// What all threads share in a run of an op: the vectors its products are weighed with.
struct Draws {
  const Inspection* inspection = nullptr;  // null: nothing is looked at
  bool verify = false;
  float* keys = nullptr;   // [segment]
  float* width = nullptr;  // as long as the widest row of results

  Draws(Carve& carve, const Call& call, std::int64_t widest) : inspection(call.inspection), verify(call.verify) {
    if (!verify) return;
    keys = carve.take<float>(segment + 64);
    width = carve.take<float>(round_up(widest, 64));
    width_floats = round_up(widest, 64);
  }
  void draw() const {
    if (!checks()) return;
    gemm_draw(0, segment + 64, keys);
    gemm_draw(1, width_floats, width);
  }
  [[nodiscard]] bool checks() const { return verify && inspection != nullptr; }
  [[nodiscard]] const Strike* strike() const { return inspection == nullptr ? nullptr : inspection->strike; }

 private:
  void gemm_draw(std::uint64_t purpose, std::int64_t count, float* to) const { draw_vector(inspection->draw(purpose), count, to); }
  std::int64_t width_floats = 0;
};

// What rounding can make of a sum of `count` numbers that are none negative, in two orders of summation: as part of the sum.
[[nodiscard]] inline float sum_bound(std::int64_t count) {
  return 2 * 0x1p-24f * (static_cast<float>(count) / lanes + 32);
}

// c_i · r by halves of `rows` ≤ 8 rows.
inline void weigh_rows(const float* c, std::int64_t stride, int rows, std::int64_t columns, const float* r, float* first, float* second) {
  constexpr int most = 8;
  F32 sum[most];
  const float* row[most];
  for (int i = 0; i < most; ++i) {
    sum[i] = zero();
    row[i] = c + (i < rows ? i : rows - 1) * stride;
  }
  std::int64_t j = 0;
  for (; j + lanes <= columns; j += lanes) {
    const F32 weight = load(r + j);
#pragma GCC unroll 8
    for (int i = 0; i < most; ++i) sum[i] = fma(load(row[i] + j), weight, sum[i]);
  }
  if (j < columns) {
    const F32 weight = load(r + j);
    const int n = static_cast<int>(columns - j);
    for (int i = 0; i < most; ++i) sum[i] = fma(load_first(row[i] + j, n), weight, sum[i]);
  }
  alignas(64) float sums[lanes][lanes] = {};
  for (int i = 0; i < most; ++i) store(sums[i], sum[i]);
  const gemm::Halves halves = gemm::sum_halves(sums);
  store_first(first, halves.first, rows);
  store_first(second, halves.second, rows);
}

// Holds rows of results against A · (B · r).
template <typename Element>
void check_tile(const Inspection& inspection, int output, const Matrix& a, int rows, std::int64_t k, const Factors& factors, const float* c,
                std::int64_t stride, std::int64_t columns, const float* r, const Bounds& bounds, const auto& row_of) {
  alignas(64) float got[2][lanes] = {};
  alignas(64) float expected[2][lanes] = {};
  gemm::weigh_left<Element>(a, rows, k, factors, expected[0], expected[1]);
  weigh_rows(c, stride, rows, columns, r, got[0], got[1]);
  gemm::compare_rows(got[0], got[1], 1, 0, expected[0], expected[1], rows, bounds.quick(),
                     [&](std::int64_t i, gemm::Weighed is, gemm::Weighed should) {
                       const double weight = gemm::weight_of_row<Element>(a.row(i), k, factors);
                       const gemm::Verdict verdict = gemm::judge(is, should, bounds.of(weight));
                       if (verdict.doubtful) inspection.doubt(output, row_of(static_cast<int>(i)), verdict.difference, verdict.bound);
                     });
}

// The factors of scores: for every sixteen keys of a segment the sums over all keys before them and these. Rows see different keys; the
// tiles of a block end at a multiple of sixteen.
template <typename Dot>
class ScoreFactors {
 public:
  using Element = typename Dot::Element;
  ScoreFactors(Carve& carve, bool verify, std::int64_t elements) : elements_(elements), padded_(gemm::padded_factors(elements)) {
    if (!verify) return;
    data_ = carve.take<float>((segment / lanes + 1) * gemm::factor_vectors * padded_);
    for (std::int64_t n = 0; n <= segment / lanes; ++n)
      bounds_.emplace_back(std::max<std::int64_t>(elements, 1), gemm::segment, std::max<std::int64_t>(n, 1) * lanes);
  }
  // Keys at … at + 31 of the segment, 32 rows of words; zeros where there are none.
  void add(const WordRows<Dot>& keys, std::int64_t at, const float* r) {
    for (std::int64_t j = 0; j < panel_keys; j += lanes) {
      const std::int64_t n = (at + j) / lanes;
      float* to = data_ + (n + 1) * gemm::factor_vectors * padded_;
      float* const vectors[3] = {to, to + padded_, to + 2 * padded_};
      gemm::factors_across<Element>(matrix_of(keys.words + j * keys.width, keys.width * 4), lanes, elements_, r + at + j, vectors);
      if (n == 0) continue;
      const float* before = data_ + n * gemm::factor_vectors * padded_;
      for (std::int64_t i = 0; i < gemm::factor_vectors * padded_; i += lanes) store(to + i, load(before + i) + load(to + i));
    }
  }
  // Rows of a tile that were multiplied with keys up to `limit`.
  void check(const Inspection& inspection, int output, const Word* left, std::int64_t left_width, int rows, const float* scores,
             std::int64_t limit, const float* r, const auto& row_of) const {
    const std::int64_t n = (limit + lanes - 1) / lanes;
    const float* first = data_ + n * gemm::factor_vectors * padded_;
    check_tile<Element>(inspection, output, matrix_of(left, left_width * 4), rows, elements_,
                        {{first, first + padded_, first + 2 * padded_}}, scores, score_stride, n * lanes, r,
                        bounds_[static_cast<std::size_t>(n)], row_of);
  }

 private:
  std::int64_t elements_;
  std::int64_t padded_;
  float* data_ = nullptr;
  std::vector<Bounds> bounds_;
};

// Where a strike hits attention: what `which` says of a block of rows. Forward: scores, weighted values, weights, the result; backward:
// scores, dP, dq, dk, dvalue, P.
struct AttentionAim {
  const Strike* strike = nullptr;
  int which = 0;
  std::int64_t item = 0;
  std::int64_t row = 0;      // of the item
  std::int64_t segment = 0;  // of keys
  double column = 0;         // of those there are, as a part

  [[nodiscard]] bool open() const { return strike != nullptr && !strike->done.load(); }
};

// Spoils one tile of a block's results: `before` is what lay there before the product, rms(i) of row i before. The tile of rows
// [row, row + rows) and `width` columns from a multiple of it.
inline void strike_tile(const Strike& strike, float* c, std::int64_t stride, int first_row, int rows, std::int64_t width,
                        std::int64_t columns, int row, std::int64_t column, const std::vector<float>& earlier, std::int64_t result_row) {
  const std::int64_t begin = column / width * width;
  const auto count = static_cast<int>(std::min(width, columns - begin));
  float* to = c + first_row * stride + begin;
  const Tile tile{to, stride, rows, count};
  const auto copy = [&](const float* from) {
    std::vector<float> sums;
    for (int i = 0; i < rows; ++i) sums.insert(sums.end(), from + i * stride, from + i * stride + count);
    return sums;
  };
  const std::vector<float> before = copy(to);
  const std::vector<float> missing = copy(earlier.data() + first_row * stride + begin);
  std::vector<float> stale;
  if (begin >= count) {
    stale = copy(to - count);
  } else if (first_row >= rows) {
    stale = copy(to - rows * stride);
  }
  std::vector<double> rms;
  for (int i = 0; i < rows; ++i) {
    double squares = 0;
    for (std::int64_t j = 0; j < columns; ++j) squares += std::pow(static_cast<double>(c[(first_row + i) * stride + j]), 2);
    rms.push_back(std::sqrt(squares / static_cast<double>(columns)));
  }
  if (!spoil_tile(tile, strike, row - first_row, static_cast<int>(column - begin), stale.empty() ? nullptr : stale.data(), missing.data(),
                  nullptr))
    return;
  tell_strike(strike, tile, before, result_row, begin, [&](std::int64_t i) { return rms[static_cast<std::size_t>(i - result_row)]; });
}

}  // namespace godwit::cpu::GODWIT_ISA::attend
