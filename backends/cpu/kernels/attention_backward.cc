// attention_backward(q, kv, k_pe, o, m, l, do, samples; heads, nope, value, scale) → dq, dkv, dk_pe.
//
// P and dS are made again for a block of query rows against keys of one segment, and go into three products: dq (chains over keys), dk
// and dvalue (chains over query rows). With blocks of rows ascending, the chains of dk and dvalue go on from block to block in memory.
// A sample of one segment is done in one pass per head. In a longer one dq's chains run across, dk's and dvalue's down the square of
// rows and keys; keeping all their unfinished trees would cost the memory fused attention is there to save, so P and dS are made twice:
// once for stretches of rows (dq), once for stretches of keys (dk, dvalue).
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "attention_check.h"
#include "attention_tile.h"
#include "functions.h"
#include "kernel.h"
#include "rows.h"
#include "twice.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

using namespace attend;

// Rows or keys of a long sample that one work item takes. They divide a segment.
constexpr std::int64_t most_stretch = 256;

struct Shape {
  std::int64_t rows, samples, heads, nope, rotary, value;
  explicit Shape(const Call& call)
      : rows(call.in[0].shape[0]),
        samples(call.in[7].count() - 1),
        heads(call.integer("heads")),
        nope(call.integer("nope")),
        rotary(call.in[2].shape[1]),
        value(call.integer("value")) {}
  [[nodiscard]] std::int64_t key() const { return nope + rotary; }
  [[nodiscard]] std::int64_t kv() const { return nope + value; }
};

// A sample of one head: pointers to its first row, strides between rows.
template <typename Dot>
struct Head {
  Columns<typename Dot::Element> q, key_left, key_right, value;
  const float* o;
  const float* d_o;  // both `o_stride` apart
  std::int64_t o_stride;
  const float* m;
  const float* l;
  std::int64_t ml_stride;
  std::int64_t first_row;  // of the sample, in the op's results
  std::int64_t rows;
  float* dq;
  std::int64_t dq_stride;
  float* dkv;
  std::int64_t dkv_stride;
  float* d_rotary;  // this head's part of dk_pe
  std::int64_t d_rotary_stride;
};

enum class Part : std::uint8_t { whole, rows, keys };

struct Item {
  std::int32_t sample;
  Part part;
  std::int64_t begin;  // of the rows or keys, from the sample's first
};

// The aligned tree over segments of `rows` rows of `width` sums, as a binary counter: bit k of `waiting_` says that a node of level k
// waits.
class SumRows {
 public:
  SumRows(Carve& carve, std::int64_t rows, std::int64_t width, std::int64_t longest) : width_(width), stride_(rows * width) {
    nodes_ = carve.take<float>(stride_ * waiting_levels(longest));
  }
  void clear() { waiting_ = 0; }
  // node = the subtree that segment `index`, given in `node`, completes; it then waits unless it is the last, which completes the tree.
  // Rows first … first + count − 1; `note` on the last rows of a segment.
  void take(float* node, std::int64_t first_row, std::int64_t count, std::int64_t index, bool last) const {
    int level = 0;
    for (; (index >> level) % 2 != 0; ++level) join(node, level, first_row, count);
    if (!last) {
      std::memcpy(at(level, first_row), node, static_cast<std::size_t>(count * width_) * sizeof(float));
      return;
    }
    for (++level; (index >> level) != 0; ++level) {
      if ((index >> level) % 2 != 0) join(node, level, first_row, count);
    }
  }
  // Which levels hold a node once segment `index` has been taken; absent leading segments never do.
  void note(std::int64_t index) {
    int level = 0;
    for (; (index >> level) % 2 != 0; ++level) waiting_ &= ~(std::uint64_t{1} << level);
    waiting_ |= std::uint64_t{1} << level;
  }

 private:
  [[nodiscard]] float* at(int level, std::int64_t first_row) const { return nodes_ + level * stride_ + first_row * width_; }
  void join(float* node, int level, std::int64_t first_row, std::int64_t count) const {
    if ((waiting_ >> level) % 2 == 0) return;
    const float* earlier = at(level, first_row);
    for (std::int64_t i = 0; i < count * width_; i += lanes) store(node + i, load(earlier + i) + load(node + i));
  }

  std::int64_t width_;
  std::int64_t stride_;
  float* nodes_;
  std::uint64_t waiting_ = 0;
};

template <typename Dot>
class Backward {
 public:
  Backward(Carve& carve, const Shape& shape, const Draws& draws)
      : draws_(draws),
        key_factors_(carve, draws.verify, shape.key()),
        value_factors_(carve, draws.verify, shape.value),
        key_weights_(carve.take<float>(draws.verify ? gemm::factor_vectors * weights_width : 0)),
        dk_expected_(carve.take<float>(draws.verify ? gemm::factor_vectors * weights_width : 0)),
        dv_expected_(carve.take<float>(draws.verify ? gemm::factor_vectors * weights_width : 0)),
        shape_(shape),
        key_words_(WordRows<Dot>::width_of(shape.key())),
        value_words_(WordRows<Dot>::width_of(shape.value)),
        key_width_(round_up(shape.key(), lanes)),
        value_width_(round_up(shape.value, lanes)),
        unpaired_(carve.take<Word>(panel_keys * std::max(key_words_, value_words_))),
        queries_{carve.take<Word>(block_rows * key_words_), key_words_},
        outputs_{carve.take<Word>(block_rows * value_words_), value_words_},
        query_pairs_(Dot::per_word == 1 ? queries_.words : carve.take<Word>(block_rows / 2 * key_width_)),
        output_pairs_(Dot::per_word == 1 ? outputs_.words : carve.take<Word>(block_rows / 2 * value_width_)),
        keys_(carve.take<Word>(segment * key_words_)),
        values_(carve.take<Word>(segment * value_words_)),
        key_pairs_(carve.take<Word>(segment / Dot::per_word * key_width_)),
        p_(carve.take<float>(block_rows * score_stride)),
        ds_(carve.take<float>(block_rows * score_stride)),
        dq_(carve.take<float>(block_rows * key_width_)),
        dk_(carve.take<float>(segment * key_width_)),
        dv_(carve.take<float>(segment * value_width_)),
        dq_tree_(carve, most_stretch, key_width_, shape.rows),
        dk_tree_(carve, most_stretch, key_width_, shape.rows),
        dv_tree_(carve, most_stretch, value_width_, shape.rows) {
    if constexpr (Dot::per_word == 2) {
      p_by_step_ = carve.take<Word>(block_rows / 2 * score_stride);
      ds_by_step_ = carve.take<Word>(block_rows / 2 * score_stride);
      ds_by_row_ = carve.take<Word>(block_rows * score_stride / 2);
    } else {
      p_by_step_ = reinterpret_cast<Word*>(p_);
      ds_by_step_ = reinterpret_cast<Word*>(ds_);
      ds_by_row_ = reinterpret_cast<Word*>(ds_);
    }
    for (std::int64_t n = 0; draws.verify && n <= segment / lanes; ++n)
      dq_bounds_.emplace_back(std::max<std::int64_t>(n, 1) * lanes, gemm::segment, shape.key());
  }
  // What spoils the next item, or null.
  void aim(const AttentionAim* aim) { aim_ = aim; }

  void run(const Head<Dot>& head, const Item& item, float scale) {
    switch (item.part) {
      case Part::whole:
        return whole(head, scale);
      case Part::rows:
        return rows(head, item.begin, std::min(head.rows, item.begin + most_stretch), scale);
      case Part::keys:
        return keys(head, item.begin, std::min(head.rows, item.begin + most_stretch), scale);
    }
  }

 private:
  // Query rows row … row + rows − 1 against keys key … key + keys − 1 of one segment, key + keys ≤ row + rows.
  struct Block {
    std::int64_t row;
    int rows;
    std::int64_t key;
    std::int64_t keys;
    [[nodiscard]] std::int64_t seen(std::int64_t i) const { return std::min(keys, row + i + 1 - key); }
  };

  void whole(const Head<Dot>& head, float scale) {
    begin_dkv();
    for (std::int64_t row = 0; row < head.rows; row += block_rows) {
      static_assert(block_rows == panel_keys);  // a block is the first to see the panel of its own rows
      pack_panel(head, row, std::min(head.rows, row + block_rows), row);
      const Block block = load_block(head, row, head.rows, 0, head.rows);
      make(head, block, scale, Sees::all_keys, Reads::row_and_key);
      multiply_dq(block);
      if (looks()) look_at_dq(head, block);
      write_dq(head, block);
      multiply_dkv(block);
    }
    if (looks()) look_at_dkv(head, 0, head.rows);
    write_dkv(head, 0, head.rows);
  }

  void rows(const Head<Dot>& head, std::int64_t begin, std::int64_t end, float scale) {
    const std::int64_t last = (end - 1) / segment;
    dq_tree_.clear();
    std::fill(row_sums_.begin(), row_sums_.end(), 0.0f);
    for (std::int64_t s = 0; s <= last; ++s) {
      const std::int64_t first_key = s * segment;
      const std::int64_t end_key = std::min(end, first_key + segment);
      pack_keys(head, first_key, end_key);
      for (std::int64_t row = begin; row < end; row += block_rows) {
        const Block block = load_block(head, row, end, first_key, end_key);
        make(head, block, scale, Sees::segment_by_segment, Reads::row, row - begin, s == last);
        multiply_dq(block);
        if (looks()) look_at_dq(head, block);
        dq_tree_.take(dq_, row - begin, block.rows, s, s == last);
        if (s == last) write_dq(head, block);
      }
      dq_tree_.note(s);
    }
  }

  void keys(const Head<Dot>& head, std::int64_t begin, std::int64_t end, float scale) {
    pack_keys(head, begin, end);
    const std::int64_t last = (head.rows - 1) / segment;
    dk_tree_.clear();
    dv_tree_.clear();
    for (std::int64_t s = begin / segment; s <= last; ++s) {
      const std::int64_t end_row = std::min(head.rows, (s + 1) * segment);
      begin_dkv();
      for (std::int64_t row = std::max(begin, s * segment); row < end_row; row += block_rows) {
        const Block block = load_block(head, row, end_row, begin, end);
        make(head, block, scale, Sees::some_keys);
        multiply_dkv(block);
      }
      if (looks()) look_at_dkv(head, begin, end);
      dk_tree_.take(dk_, 0, end - begin, s, s == last);
      dv_tree_.take(dv_, 0, end - begin, s, s == last);
      dk_tree_.note(s);
      dv_tree_.note(s);
    }
    write_dkv(head, begin, end);
  }

  // Transposed panels of the keys and values, and the keys as the right operand of dq.
  void pack_keys(const Head<Dot>& head, std::int64_t begin, std::int64_t end) {
    for (std::int64_t j = begin; j < end; j += panel_keys) pack_panel(head, j, std::min(end, j + panel_keys), j - begin);
  }
  void pack_panel(const Head<Dot>& head, std::int64_t begin, std::int64_t end, std::int64_t at) {
    const std::int64_t count = end - begin;
    Word* pairs = key_pairs_ + at / Dot::per_word * key_width_;
    const WordRows<Dot> keys = {Dot::per_word == 1 ? pairs : unpaired_, key_words_};
    for (std::int64_t i = 0; i < count; ++i) gather_row(keys, i, head.key_left, head.key_right, begin + i);
    transpose_rows(keys, count, keys_ + at * key_words_);
    if (draws_.checks()) {
      key_factors_.add(keys, at, draws_.keys);
      float* to = key_weights_ + at;
      float* const vectors[3] = {to, to + weights_width, to + 2 * weights_width};
      gemm::factors_down<typename Dot::Element>(matrix_of(keys.words, keys.width * 4), shape_.key(), count, draws_.width, vectors);
    }
    if constexpr (Dot::per_word == 2) pair_rows(keys, count, shape_.key(), pairs);
    const WordRows<Dot> values = {unpaired_, value_words_};
    for (std::int64_t i = 0; i < count; ++i) gather_row(values, i, head.value, {}, begin + i);
    transpose_rows(values, count, values_ + at * value_words_);
    if (draws_.checks()) value_factors_.add(values, at, draws_.keys);
  }

  // Checks and strikes --------------------------------------------------------------------------------------------------------

  [[nodiscard]] bool looks() const { return draws_.inspection != nullptr; }
  [[nodiscard]] bool hit(int which, const Block& block) const {
    return aim_ != nullptr && aim_->open() && aim_->which == which && aim_->row >= block.row && aim_->row < block.row + block.rows &&
           aim_->segment == block.key / segment;
  }
  void strike(float* c, std::int64_t stride, std::int64_t row, std::int64_t all_rows, std::int64_t width, std::int64_t columns,
              const std::vector<float>& earlier, std::int64_t result_row) const {
    int first = 0;
    int rows = 0;
    for (; first + (rows = rows_of_tile(all_rows - first)) <= row; first += rows) {
    }
    strike_tile(*aim_->strike, c, stride, first, rows, width, columns, static_cast<int>(row),
                static_cast<std::int64_t>(aim_->column * static_cast<double>(columns)), earlier, result_row + first);
  }

  // Scores (0) and dP (1), whose left operands' rows are `left`.
  void look_at_scores(const Head<Dot>& head, const Block& block, int which, const WordRows<Dot>& left, const ScoreFactors<Dot>& factors,
                      float* c, const std::vector<float>& earlier) const {
    const std::int64_t first_row = head.first_row + block.row;
    if (hit(which, block) && !earlier.empty())
      strike(c, score_stride, aim_->row - block.row, block.rows, panel_keys, block.seen(aim_->row - block.row), earlier, first_row);
    if (!draws_.checks()) return;
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      factors.check(*draws_.inspection, 0, left.words + i * left.width, left.width, rows, c + i * score_stride, block.seen(i + rows - 1),
                    draws_.keys, [&](int k) { return first_row + i + k; });
    }
  }

  void look_at_dq(const Head<Dot>& head, const Block& block) {
    const std::int64_t first_row = head.first_row + block.row;
    if (hit(2, block) && !earlier_dq_.empty())
      strike(dq_, key_width_, aim_->row - block.row, block.rows, tile_vectors * lanes, shape_.key(), earlier_dq_, first_row);
    if (!draws_.checks()) return;
    constexpr std::int64_t stride = score_stride / Dot::per_word;
    const float* f = key_weights_;
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      const std::int64_t keys = block.seen(i + rows - 1);
      check_tile<typename Dot::Element>(*draws_.inspection, 0, matrix_of(ds_by_row_ + i * stride, stride * 4), rows, keys,
                                        {{f, f + weights_width, f + 2 * weights_width}}, dq_ + i * key_width_, key_width_, shape_.key(),
                                        draws_.width, dq_bounds_[static_cast<std::size_t>((keys + lanes - 1) / lanes)],
                                        [&](int k) { return first_row + i + k; });
    }
  }

  void begin_dkv() {
    if (aim_ != nullptr && aim_->open()) [[unlikely]] {
      earlier_dk_.assign(dk_, dk_ + segment * key_width_);
      earlier_dv_.assign(dv_, dv_ + segment * value_width_);
    }
    if (!draws_.checks()) return;
    std::fill_n(dk_expected_, gemm::factor_vectors * weights_width, 0.0f);
    std::fill_n(dv_expected_, gemm::factor_vectors * weights_width, 0.0f);
  }
  // What the block's rows add to dk · r and dvalue · r.
  void expect_dkv(const Block& block) {
    alignas(64) float weights[2][gemm::factor_vectors][64];
    const auto weigh = [&](const WordRows<Dot>& rows, std::int64_t width, float(&to)[gemm::factor_vectors][64]) {
      float* const vectors[3] = {to[0], to[1], to[2]};
      gemm::factors_down<typename Dot::Element, true>(matrix_of(rows.words, rows.width * 4), width, block.rows, draws_.width, vectors);
    };
    weigh(queries_, shape_.key(), weights[0]);
    weigh(outputs_, shape_.value, weights[1]);
    for (std::int64_t j = 0; j < block.keys; j += lanes) {
      const auto add = [&](const Word* left, const float(&weight)[gemm::factor_vectors][64], float* expected) {
        F32 sum[3];
        for (int h = 0; h < 3; ++h) sum[h] = load(expected + h * weights_width + j);
        const auto row = [&](int i, F32 x) __attribute__((always_inline)) {
          sum[0] = fma(x, set1(weight[0][i]), sum[0]);
          sum[1] = fma(x, set1(weight[1][i]), sum[1]);
          sum[2] = fma(x * x, set1(weight[2][i]), sum[2]);
        };
        for (int i = 0; i < block.rows; i += static_cast<int>(Dot::per_word)) {
          const I32 words = load_words(left + i / Dot::per_word * score_stride + j);
          if constexpr (Dot::per_word == 1) {
            row(i, from_bits(words));
          } else {
            row(i, gemm::even_of(words));
            if (i + 1 < block.rows) row(i + 1, gemm::odd_of(words));
          }
        }
        for (int h = 0; h < 3; ++h) store(expected + h * weights_width + j, sum[h]);
      };
      add(ds_by_step_, weights[0], dk_expected_);
      add(p_by_step_, weights[1], dv_expected_);
    }
  }
  void look_at_dkv(const Head<Dot>& head, std::int64_t begin, std::int64_t end) {
    const std::int64_t count = end - begin;
    const auto one = [&](int which, float* c, std::int64_t width, std::int64_t columns, const float* expected,
                         std::vector<float>& earlier) {
      if (aim_ != nullptr && aim_->open() && aim_->which == which && !earlier.empty())
        strike(c, width, aim_->row - begin, count, tile_vectors * lanes, columns, earlier, head.first_row + begin);
      if (!draws_.checks()) return;
      const Bounds bounds(std::min(head.rows, segment), gemm::segment, columns);
      for (std::int64_t j = 0; j < count; j += 8) {
        const auto rows = static_cast<int>(std::min<std::int64_t>(8, count - j));
        alignas(64) float got[2][lanes] = {};
        weigh_rows(c + j * width, width, rows, columns, draws_.width, got[0], got[1]);
        gemm::compare_rows(got[0], got[1], 1, 0, expected + j, expected + weights_width + j, rows, bounds.quick(),
                           [&](std::int64_t i, gemm::Weighed is, gemm::Weighed should) {
                             const double weight = static_cast<double>(expected[2 * weights_width + j + i]);
                             const gemm::Verdict verdict = gemm::judge(is, should, bounds.of(weight));
                             if (verdict.doubtful)
                               draws_.inspection->doubt(1, head.first_row + begin + j + i, verdict.difference, verdict.bound);
                           });
      }
    };
    one(3, dk_, key_width_, shape_.key(), dk_expected_, earlier_dk_);
    one(4, dv_, value_width_, shape_.value, dv_expected_, earlier_dv_);
  }

  // What a block reads of row t: as a query row, and as a key.
  enum class Reads : std::uint8_t { row, row_and_key };
  void fetch_row(const Head<Dot>& head, std::int64_t t, Reads what) const {
    const auto bytes = shape_.value * static_cast<std::int64_t>(sizeof(float));
    prefetch_row(head.q, t);
    prefetch(head.o + t * head.o_stride, bytes);
    prefetch(head.d_o + t * head.o_stride, bytes);
    prefetch(head.m + t * head.ml_stride, 1);
    prefetch(head.l + t * head.ml_stride, 1);
    if (what == Reads::row) return;
    prefetch_row(head.key_left, t);
    prefetch_row(head.key_right, t);
    prefetch_row(head.value, t);
  }

  Block load_block(const Head<Dot>& head, std::int64_t row, std::int64_t end_row, std::int64_t key, std::int64_t end_key) {
    const auto count = static_cast<int>(std::min(block_rows, end_row - row));
    for (int i = 0; i < count; ++i) {
      const std::int64_t t = row + i;
      const float* o = head.o + t * head.o_stride;
      const float* d_o = head.d_o + t * head.o_stride;
      gather_row(queries_, i, head.q, {}, t);
      cast_row(outputs_, i, d_o, shape_.value);
      d_[i] = row_dot(shape_.value, d_o, o);
      if (!draws_.checks()) continue;
      const float second = row_reduce(shape_.value, [&](F32 lane, std::int64_t k, int n) {
        return fma(again(load_n(d_o + k, n)), load_n(o + k, n), lane);
      });
      if (std::memcmp(&second, &d_[i], sizeof second) != 0)
        draws_.inspection->doubt(0, head.first_row + t, std::numeric_limits<double>::infinity(), 0);
    }
    if constexpr (Dot::per_word == 2) {
      pair_rows(queries_, count, shape_.key(), query_pairs_);
      pair_rows(outputs_, count, shape_.value, output_pairs_);
    }
    return {row, count, key, std::min(end_key, row + count) - key};
  }

  void multiply_scores(const Block& block, const WordRows<Dot>& left, const Word* panels, std::int64_t elements, float* to) {
    const std::int64_t longest = block.seen(block.rows - 1);
    for (std::int64_t j = 0; j < longest; j += panel_keys) {
      for (int i = 0, rows = 0; i < block.rows; i += rows) {
        rows = rows_of_tile(block.rows - i);
        const std::int64_t rest = block.seen(i + rows - 1) - j;
        if (rest <= 0) continue;
        multiply_segments<Dot>(rows, rest > lanes ? 2 : 1,
                               {.a = left.words + i * left.width,
                                .a_stride = left.width,
                                .b = panels + j * left.width,
                                .b_stride = panel_keys,
                                .steps = 0,
                                .c = to + i * score_stride + j,
                                .c_stride = score_stride,
                                .resume = false},
                               elements);
      }
    }
  }

  // Which of its keys a row of P has in a block: all; all of a segment, and segments follow; or some.
  enum class Sees : std::uint8_t { all_keys, segment_by_segment, some_keys };

  // P and dS; +0 where a row does not see, up to the block's longest row. The finish of z and dP may be left out: a zero's sign can be
  // seen in neither the exponential nor dP − D's place in a sum. `next`: what the next block will read. `at`: of its row sums' first;
  // `last`: of the segments.
  void make(const Head<Dot>& head, const Block& block, float scale, Sees sees, Reads next = Reads::row, std::int64_t at = 0,
            bool last = true) {
    if (aim_ != nullptr && aim_->open()) [[unlikely]]
      remember(block);
    multiply_scores(block, queries_, keys_, shape_.key(), p_);
    multiply_scores(block, outputs_, values_, shape_.value, ds_);
    if (looks()) {
      look_at_scores(head, block, 0, queries_, key_factors_, p_, earlier_p_);
      look_at_scores(head, block, 1, outputs_, value_factors_, ds_, earlier_ds_);
    }
    std::vector<float> scores;
    const bool struck = sees != Sees::some_keys && hit(5, block);
    if (struck) scores.assign(p_, p_ + block.rows * score_stride);
    if (!draws_.checks()) {
      weigh<false, false>(head, block, scale, next);
    } else if (sees == Sees::some_keys) {
      weigh<true, true>(head, block, scale, next);
    } else {
      weigh<true, false>(head, block, scale, next);
    }
    if (struck)
      strike(p_, score_stride, aim_->row - block.row, block.rows, panel_keys, block.seen(aim_->row - block.row), scores,
             head.first_row + block.row);
    if (draws_.checks() && sees != Sees::some_keys) {
      if (sees == Sees::all_keys) std::fill_n(row_sums_.begin() + at, block.rows, 0.0f);
      look_at_row_sums(head, block, at, last);
    }
    if constexpr (Dot::per_word == 2) cast_block(head, block);
  }

  // Scores and dP to P and dS. `checked`: dS is made twice, `twice`: P as well.
  template <bool checked, bool twice>
  void weigh(const Head<Dot>& head, const Block& block, float scale, Reads next) {
    const std::int64_t longest = round_up(block.seen(block.rows - 1), lanes);
    const F32 factor = set1(scale);
    for (int i = 0; i < block.rows; ++i) {
      if (block.row + block_rows + i < head.rows) fetch_row(head, block.row + block_rows + i, next);
      float* p_row = p_ + i * score_stride;
      float* ds_row = ds_ + i * score_stride;
      const std::int64_t place = (block.row + i) * head.ml_stride;
      const F32 m = set1(head.m[place]);
      const F32 l = set1(head.l[place]);
      const F32 d = set1(d_[i]);
      const std::int64_t count = block.seen(i);
      Same same;
      F32 weighed = zero();
      const auto one = [&](std::int64_t j, auto masked) {
        const Mask some = masked ? first(static_cast<int>(count - j)) : first(lanes);
        const F32 z = load(p_row + j);
        const F32 dp = load(ds_row + j);
        const auto p_of = [&](F32 score) {
          const F32 p = exp(score * factor - m) / l;
          return masked ? select(some, p, zero()) : p;
        };
        const auto ds_of = [&](F32 p) {
          const F32 ds = (p * (dp - d)) * factor;
          return masked ? select(some, ds, zero()) : ds;
        };
        const F32 p = p_of(z);
        store(p_row + j, p);
        store(ds_row + j, ds_of(p));
        if constexpr (checked && !twice) weighed = fma(p, load(draws_.keys + j), weighed);
        if constexpr (twice) same.look(load(p_row + j), p_of(again(z)));
        if constexpr (checked) same.look(load(ds_row + j), ds_of(again(p)));
      };
      std::int64_t j = 0;
      for (; j + lanes <= count; j += lanes) one(j, std::false_type());
      if (j < count) {
        one(j, std::true_type());
        j += lanes;
      }
      for (; j < longest; j += lanes) {
        store(p_row + j, zero());
        store(ds_row + j, zero());
      }
      if (checked && !same.holds()) doubt(head, block, i);
      if constexpr (checked && !twice) store(weighed_p_[i], weighed);
    }
  }
  void doubt(const Head<Dot>& head, const Block& block, int i) const {
    draws_.inspection->doubt(0, head.first_row + block.row + i, std::numeric_limits<double>::infinity(), 0);
  }

  // Every row of P adds up to one, over all the keys it sees: by that the forward pass's exponentials, maxima and sums are known to be
  // right, and these. And weighed with a random vector it is as it was made, so that it lies where it belongs.
  void look_at_row_sums(const Head<Dot>& head, const Block& block, std::int64_t at, bool last) {
    const std::int64_t longest = round_up(block.seen(block.rows - 1), lanes);
    for (int i = 0; i < block.rows; ++i) {
      F32 sum = zero();
      F32 weighed = zero();
      for (std::int64_t j = 0; j < longest; j += lanes) {
        const F32 p = load(p_ + i * score_stride + j);
        sum = sum + p;
        weighed = fma(p, load(draws_.keys + j), weighed);
      }
      Same same;
      same.look(weighed, load(weighed_p_[i]));
      if (!same.holds()) doubt(head, block, i);
      float& whole = row_sums_[static_cast<std::size_t>(at + i)];
      whole += tree_of_lanes(sum);
      if (!last) continue;
      const std::int64_t seen = block.row + i + 1;  // of the sample's keys
      const float bound = sum_bound(seen) + 0x1p-20f * static_cast<float>((seen + segment - 1) / segment);
      if (!(std::fabs(whole - 1.0f) <= bound)) {
        draws_.inspection->doubt(0, head.first_row + block.row + i, static_cast<double>(whole) - 1, static_cast<double>(bound));
      }
    }
  }

  void remember(const Block& block) {
    earlier_p_.assign(p_, p_ + block.rows * score_stride);
    earlier_ds_.assign(ds_, ds_ + block.rows * score_stride);
    earlier_dq_.assign(dq_, dq_ + block.rows * key_width_);
  }

  // P and dS as bf16: dS in pairs of keys for dq, both in pairs of rows for dk and dvalue.
  void cast_block(const Head<Dot>& head, const Block& block) {
    const std::int64_t longest = round_up(block.seen(block.rows - 1), lanes);
    const bool checks = draws_.checks();
    for (int i = 0; i < block.rows; i += 2) {
      Same same;
      const float* p = p_ + i * score_stride;
      const float* ds = ds_ + i * score_stride;
      const bool paired = i + 1 < block.rows;
      auto* even_row = reinterpret_cast<std::uint16_t*>(ds_by_row_) + i * score_stride;
      for (std::int64_t j = 0; j < longest; j += lanes) {
        const I32 p_even = to_bf16(load(p + j));
        const I32 ds_even = to_bf16(load(ds + j));
        const I32 p_odd = paired ? to_bf16(load(p + score_stride + j)) : set1i(0);
        const I32 ds_odd = paired ? to_bf16(load(ds + score_stride + j)) : set1i(0);
        store_words(p_by_step_ + i / 2 * score_stride + j, p_even | shift_left<16>(p_odd));
        store_words(ds_by_step_ + i / 2 * score_stride + j, ds_even | shift_left<16>(ds_odd));
        store_low16(even_row + j, ds_even);
        store_low16(even_row + score_stride + j, ds_odd);
        if (!checks) continue;
        const auto second = [&](F32 even, const float* odd) {
          return to_bf16(again(even)) | shift_left<16>(paired ? to_bf16(again(load(odd + score_stride + j))) : set1i(0));
        };
        const I32 ds_again = second(load(ds + j), ds);
        same.look(load_words(p_by_step_ + i / 2 * score_stride + j), second(load(p + j), p));
        same.look(load_words(ds_by_step_ + i / 2 * score_stride + j), ds_again);
        same.look(bits(load_bf16_first(even_row + j, lanes)), shift_left<16>(ds_again));
        same.look(bits(load_bf16_first(even_row + score_stride + j, lanes)), ds_again & set1i(static_cast<std::int32_t>(0xFFFF0000u)));
      }
      if (!same.holds()) doubt(head, block, i);
    }
  }

  void multiply_dq(const Block& block) {
    constexpr std::int64_t stride = score_stride / Dot::per_word;
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      multiply_masked<Dot, Left::by_row>(rows, key_width_ / lanes,
                                         {.a = ds_by_row_ + i * stride,
                                          .a_stride = stride,
                                          .b = key_pairs_,
                                          .b_stride = key_width_,
                                          .steps = words_of<Dot>(block.seen(i + rows - 1)),
                                          .c = dq_ + i * key_width_,
                                          .c_stride = key_width_,
                                          .resume = false},
                                         [&](int k) {
                                           return Seen{0, block.seen(i + k)};
                                         });
    }
  }

  // Takes the block's rows into the chains of its keys. Tiles of keys beside the diagonal begin at the row that sees their first key.
  void multiply_dkv(const Block& block) {
    if (draws_.checks()) expect_dkv(block);
    for (std::int64_t j = 0, rows = 0; j < block.keys; j += rows) {
      rows = rows_of_tile(block.keys - j);
      const std::int64_t before = block.key + j - block.row;  // rows of the block that see none of the tile
      const std::int64_t first_step = std::max<std::int64_t>(before, 0) / Dot::per_word;
      const bool resume = before < 0 && block.row % segment != 0;
      const auto product = [&](const Word* a, const Word* b, std::int64_t width, float* c) {
        multiply_masked<Dot, Left::by_step>(static_cast<int>(rows), width / lanes,
                                            {.a = a + first_step * score_stride + j,
                                             .a_stride = score_stride,
                                             .b = b + first_step * width,
                                             .b_stride = width,
                                             .steps = words_of<Dot>(block.rows) - first_step,
                                             .c = c + j * width,
                                             .c_stride = width,
                                             .resume = resume},
                                            [&](int k) {
                                              if (before < 0) return Seen{0, words_of<Dot>(block.rows) * Dot::per_word};
                                              return Seen{before + k - first_step * Dot::per_word, block.rows - first_step * Dot::per_word};
                                            });
      };
      product(ds_by_step_, query_pairs_, key_width_, dk_);
      product(p_by_step_, output_pairs_, value_width_, dv_);
    }
  }

  void write(const float* from, float* to, std::int64_t count, int output, std::int64_t row) const {
    vectors(count, [&](std::int64_t i, int n) { store_n(to + i, load_n(from + i, n) + zero(), n); });
    if (!draws_.checks()) return;
    Same same;
    vectors(count, [&](std::int64_t i, int n) { same.look(load_n(to + i, n), load_n(from + i, n) + zero()); });
    if (!same.holds()) draws_.inspection->doubt(output, row, std::numeric_limits<double>::infinity(), 0);
  }
  void write_dq(const Head<Dot>& head, const Block& block) {
    constexpr int ahead = 8;
    for (int i = 0; i < block.rows; ++i) {
      if (i + ahead < block.rows) {
        prefetch<true>(head.dq + (block.row + i + ahead) * head.dq_stride, shape_.key() * static_cast<std::int64_t>(sizeof(float)));
      }
      write(dq_ + i * key_width_, head.dq + (block.row + i) * head.dq_stride, shape_.key(), 0, head.first_row + block.row + i);
    }
  }
  void write_dkv(const Head<Dot>& head, std::int64_t begin, std::int64_t end) {
    constexpr std::int64_t ahead = 8;
    for (std::int64_t j = begin; j < end; ++j) {
      if (j + ahead < end) {
        prefetch<true>(head.dkv + (j + ahead) * head.dkv_stride, shape_.kv() * static_cast<std::int64_t>(sizeof(float)));
        prefetch<true>(head.d_rotary + (j + ahead) * head.d_rotary_stride, shape_.rotary * static_cast<std::int64_t>(sizeof(float)));
      }
      const float* dk = dk_ + (j - begin) * key_width_;
      float* dkv = head.dkv + j * head.dkv_stride;
      const std::int64_t row = head.first_row + j;
      write(dk, dkv, shape_.nope, 1, row);
      write(dv_ + (j - begin) * value_width_, dkv + shape_.nope, shape_.value, 1, row);
      write(dk + shape_.nope, head.d_rotary + j * head.d_rotary_stride, shape_.rotary, 2, row);
    }
  }

  static constexpr std::int64_t weights_width = segment + 64;

  Draws draws_;
  ScoreFactors<Dot> key_factors_;
  ScoreFactors<Dot> value_factors_;
  float* key_weights_;  // of dq: every key · r by halves, |key|²
  float* dk_expected_;  // by key: what dk · r should be so far, by halves, and what its products weigh
  float* dv_expected_;
  std::vector<Bounds> dq_bounds_;
  const AttentionAim* aim_ = nullptr;
  std::vector<float> earlier_p_, earlier_ds_, earlier_dq_, earlier_dk_, earlier_dv_;  // what a missing tile leaves
  Shape shape_;
  std::int64_t key_words_;    // of a key, in words, rounded up
  std::int64_t value_words_;  // of a value
  std::int64_t key_width_;    // of a key, in elements, rounded up
  std::int64_t value_width_;  // of a value
  Word* unpaired_;            // gathered rows on their way to panels and pairs
  WordRows<Dot> queries_;     // left operand of the scores
  WordRows<Dot> outputs_;     // do, left operand of dP
  Word* query_pairs_;         // right operand of dk
  Word* output_pairs_;        // right operand of dvalue
  Word* keys_;                // panels
  Word* values_;              // panels
  Word* key_pairs_;           // right operand of dq
  float* p_;
  float* ds_;
  float* dq_;
  float* dk_;
  float* dv_;
  SumRows dq_tree_;
  SumRows dk_tree_;
  SumRows dv_tree_;
  Word* p_by_step_ = nullptr;  // of f32 the memory of p_ and ds_
  Word* ds_by_step_ = nullptr;
  Word* ds_by_row_ = nullptr;
  float d_[block_rows] = {};
  alignas(64) float weighed_p_[block_rows][lanes] = {};
  std::array<float, most_stretch> row_sums_{};  // of P, of the rows of a block or of a stretch
};

// What the workspace holds.
template <typename Dot>
struct Places {
  Item* items;
  float* rotary;  // [rows][heads][rotary]: each head's part of dk_pe
  std::vector<Backward<Dot>> threads;
  std::int64_t bytes;
  Draws draws;

  Places(const Call& call, const Shape& shape, std::byte* base) : Places(call, shape, Carve(base)) {}

 private:
  Places(const Call& call, const Shape& shape, Carve carve) : draws(carve, call, std::max(shape.key(), shape.value)) {
    // A whole sample is one item; a longer one two for every most_stretch rows.
    items = carve.take<Item>(shape.samples + 2 * (shape.rows / most_stretch + shape.rows / segment + 1));
    rotary = carve.take<float>(shape.rows * shape.heads * shape.rotary);
    for (int i = 0; i < call.pool->threads(); ++i) threads.emplace_back(carve, shape, draws);
    bytes = carve.used();
  }
};

template <typename Dot>
std::int64_t bytes_as(const Call& call) {
  return Places<Dot>(call, Shape(call), nullptr).bytes;
}

void clear_rows(const View& view, std::int64_t begin, std::int64_t end) {
  std::fill(view.f32() + begin * view.shape[1], view.f32() + end * view.shape[1], 0.0f);
}

template <typename Dot>
void run_as(const Call& call) {
  using Element = typename Dot::Element;
  const Shape shape(call);
  const std::int64_t heads = shape.heads;
  const float scale = call.real32("scale");
  const std::int32_t* samples = call.in[7].i32();
  Places<Dot> places(call, shape, call.workspace);
  for (const View& out : call.out) {
    clear_rows(out, 0, samples[0]);
    clear_rows(out, samples[shape.samples], shape.rows);
  }

  std::int64_t count = 0;
  for (std::int32_t s = 0; s < shape.samples; ++s) {
    const std::int64_t rows = samples[s + 1] - samples[s];
    if (rows > 0 && rows <= segment) places.items[count++] = {s, Part::whole, 0};
    for (std::int64_t begin = 0; rows > segment && begin < rows; begin += most_stretch) {
      places.items[count++] = {s, Part::rows, begin};
      places.items[count++] = {s, Part::keys, begin};
    }
  }
  places.draws.draw();
  if (places.draws.checks()) {
    for (int output = 0; output < 3; ++output) places.draws.inspection->count(output);
  }
  AttentionAim aim;
  if (places.draws.strike() != nullptr && count * heads > 0) {
    Chance chance = places.draws.strike()->chance;
    aim.item = chance.below(count * heads);
    const Item& item = places.items[aim.item / heads];
    const std::int64_t rows = samples[item.sample + 1] - samples[item.sample];
    const std::int64_t stretch = std::min(rows - item.begin, item.part == Part::whole ? rows : most_stretch);
    const int whole[] = {0, 1, 2, 3, 4, 5}, by_rows[] = {0, 1, 2, 5}, by_keys[] = {0, 1, 3, 4};
    switch (item.part) {
      case Part::whole:
        aim.which = whole[chance.below(6)];
        break;
      case Part::rows:
        aim.which = by_rows[chance.below(4)];
        break;
      case Part::keys:
        aim.which = by_keys[chance.below(4)];
        break;
    }
    const bool later_rows = item.part == Part::keys && aim.which < 3;
    aim.row = item.begin + chance.below(later_rows ? rows - item.begin : stretch);
    aim.segment = item.part == Part::rows ? chance.below(aim.row / segment + 1) : item.begin / segment;
    aim.column = chance.real();
    aim.strike = places.draws.strike();
  }
  call.pool->each(count * heads, [&](std::int64_t index, int thread) {
    const Item& item = places.items[index / heads];
    const std::int64_t h = index % heads;
    const std::int64_t row = samples[item.sample];
    const std::int64_t q_at = (row * heads + h) * shape.key();
    const std::int64_t kv_at = (row * heads + h) * shape.kv();
    const std::int64_t o_at = (row * heads + h) * shape.value;
    const Element* kv = call.in[1].as<Element>() + kv_at;
    const Head<Dot> head{.q = {call.in[0].as<Element>() + q_at, heads * shape.key(), shape.key()},
                         .key_left = {kv, heads * shape.kv(), shape.nope},
                         .key_right = {call.in[2].as<Element>() + row * shape.rotary, shape.rotary, shape.rotary},
                         .value = {kv + shape.nope, heads * shape.kv(), shape.value},
                         .o = call.in[3].f32() + o_at,
                         .d_o = call.in[6].f32() + o_at,
                         .o_stride = heads * shape.value,
                         .m = call.in[4].f32() + row * heads + h,
                         .l = call.in[5].f32() + row * heads + h,
                         .ml_stride = heads,
                         .first_row = row,
                         .rows = samples[item.sample + 1] - row,
                         .dq = call.out[0].f32() + q_at,
                         .dq_stride = heads * shape.key(),
                         .dkv = call.out[1].f32() + kv_at,
                         .dkv_stride = heads * shape.kv(),
                         .d_rotary = places.rotary + (row * heads + h) * shape.rotary,
                         .d_rotary_stride = heads * shape.rotary};
    Backward<Dot>& own = places.threads[static_cast<std::size_t>(thread)];
    own.aim(aim.strike != nullptr && aim.item == index ? &aim : nullptr);
    own.run(head, item, scale);
  });

  float* dk_pe = call.out[2].f32();
  constexpr std::int64_t grain = 64;
  call.pool->ranges(samples[shape.samples] - samples[0], grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = samples[0] + begin; t < samples[0] + end; ++t) {
      vectors(shape.rotary, [&](std::int64_t i, int n) {
        const auto sum_heads = [&] {
          F32 sum = again(zero());
          for (std::int64_t h = 0; h < heads; ++h) sum = sum + load_n(places.rotary + (t * heads + h) * shape.rotary + i, n);
          return sum;
        };
        store_n(dk_pe + t * shape.rotary + i, sum_heads(), n);
        if (!places.draws.checks()) return;
        Same same;
        same.look(load_n(dk_pe + t * shape.rotary + i, n), sum_heads());
        if (!same.holds()) places.draws.inspection->doubt(2, t, std::numeric_limits<double>::infinity(), 0);
      });
    }
  });
}

const char* variant_of(const Call& call) {
  const Shape shape(call);
  if (!levels_suffice(shape.key()) || !levels_suffice(shape.value)) return nullptr;
  return call.in[0].bf16() ? "bf16 fused" : "f32 fused";
}

}  // namespace

extern const Kernel attention_backward;
const Kernel attention_backward{
    .op = "attention_backward",
    .variant = variant_of,
    .workspace = [](const Call& call) { return call.in[0].bf16() ? bytes_as<Bf16Dot>(call) : bytes_as<F32Dot>(call); },
    .run = [](const Call& call) { call.in[0].bf16() ? run_as<Bf16Dot>(call) : run_as<F32Dot>(call); },
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
