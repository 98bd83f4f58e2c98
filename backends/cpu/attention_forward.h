// Attention forward, shared by the op and its decode forms: scores are made, used and forgotten a block of rows against a segment of
// keys at a time (docs/arithmetic.md, attention).
//
// The work is cut into *stretches*: consecutive query rows of one sample or stream at consecutive positions, within one segment. A row's
// bits depend on its keys alone, so the cutting is free.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "attention_check.h"
#include "attention_nodes.h"
#include "attention_tile.h"
#include "functions.h"
#include "kernel.h"
#include "rows.h"
#include "twice.h"

namespace godwit::cpu::GODWIT_ISA::attend {

// Query rows of the op row … row + rows − 1; row i sees the key rows key … key + position + i.
struct Stretch {
  std::int64_t row;
  std::int64_t rows;
  std::int64_t position;
  std::int64_t key;
};

// In elements.
struct Widths {
  std::int64_t key;
  std::int64_t value;
};

// Places of one head's operands and results; `q`, `o`, m and l by query row, keys by key row.
template <typename Dot>
struct Head {
  Columns<typename Dot::Element> q;
  Columns<typename Dot::Element> key_left;
  Columns<typename Dot::Element> key_right;
  Columns<typename Dot::Element> value;
  float* o = nullptr;
  std::int64_t o_stride = 0;
  float* m = nullptr;  // null: not wanted, nor l
  float* l = nullptr;
  std::int64_t ml_stride = 0;
};

inline constexpr std::int64_t most_stretch_rows = 256;

// Positions of a stretch: enough for their keys' packing to be small beside the products, few enough that every thread has work. A power
// of two, so that a stretch cut at its multiples lies within one segment.
[[nodiscard]] inline std::int64_t stretch_positions(std::int64_t positions, std::int64_t heads, int threads) {
  std::int64_t most = most_stretch_rows;
  while (most > 1 && most > block_rows && (positions + most - 1) / most * heads < std::int64_t{4} * threads) most /= 2;
  return most;
}

// One thread's scratch and the work on one stretch.
template <typename Dot>
class Forward {
 public:
  // `longest`: the most keys a row can see. `rows`: the most query rows of a stretch.
  Forward(Carve& carve, const Widths& widths, std::int64_t longest, std::int64_t rows, const Draws& draws)
      : draws_(draws),
        score_factors_(carve, draws.verify, widths.key),
        value_factors_(carve.take<float>(draws.verify ? gemm::factor_vectors * value_factor_width : 0)),
        widths_(widths),
        key_words_(WordRows<Dot>::width_of(widths.key)),
        value_width_(round_up(widths.value, lanes)),
        gathered_keys_{carve.take<Word>(panel_keys * key_words_), key_words_},
        gathered_values_{carve.take<Word>(panel_keys * WordRows<Dot>::width_of(widths.value)), WordRows<Dot>::width_of(widths.value)},
        queries_{carve.take<Word>(block_rows * key_words_), key_words_},
        keys_(carve.take<Word>(segment * key_words_)),
        values_(carve.take<Word>(segment / Dot::per_word * value_width_)),
        scores_(carve.take<float>(block_rows * score_stride)),
        weights_(Dot::per_word == 1 ? reinterpret_cast<Word*>(scores_) : carve.take<Word>(block_rows * weight_stride)),
        leaf_(carve, block_rows, value_width_),
        tree_(carve, longest, rows, value_width_, draws) {
    for (std::int64_t n = 0; draws.verify && n <= segment / lanes; ++n)
      value_bounds_.emplace_back(std::max<std::int64_t>(n, 1) * lanes, gemm::segment, widths.value);
  }
  // What spoils the next stretch, or null.
  void aim(const AttentionAim* aim) { aim_ = aim; }

  void run(const Head<Dot>& head, const Stretch& stretch, float scale) {
    const std::int64_t rows = stretch.rows;
    const std::int64_t segments = segments_of(stretch);
    for (std::int64_t s = 0; s < segments; ++s) {
      std::int64_t packed = s * segment;
      for (std::int64_t row = 0; row < rows; row += block_rows) {
        const Block block = block_of(stretch, s, row);
        attend_segment(head, stretch, scale, s, block, packed);
        tree_.take_in(leaf_, block.row, block.rows, s, s + 1 == segments);
        if (s + 1 == segments) finish(head, stretch, block);
      }
    }
  }

  // A stretch of at most block_rows query rows in two halves, so that several threads can share its segments: one segment's node, put at
  // `to`, and the join of all of them, which lie node_floats() apart.
  void run_segment(const Head<Dot>& head, const Stretch& stretch, float scale, std::int64_t s, float* to) {
    const Block block = block_of(stretch, s, 0);
    std::int64_t packed = s * segment;
    attend_segment(head, stretch, scale, s, block, packed);
    leaf_.put(block.rows, to);
  }
  void join_segments(const Head<Dot>& head, const Stretch& stretch, const float* nodes) {
    const std::int64_t segments = segments_of(stretch);
    for (std::int64_t s = 0; s < segments; ++s, nodes += node_floats(widths_)) {
      const Block block = block_of(stretch, s, 0);
      leaf_.get(block.rows, nodes);
      tree_.take_in(leaf_, block.row, block.rows, s, s + 1 == segments);
      if (s + 1 == segments) finish(head, stretch, block);
    }
  }
  [[nodiscard]] static std::int64_t node_floats(const Widths& widths) { return Leaf::floats(block_rows, round_up(widths.value, lanes)); }
  [[nodiscard]] static std::int64_t segments_of(const Stretch& stretch) {
    return (stretch.position + stretch.rows + segment - 1) / segment;
  }

 private:
  static constexpr std::int64_t weight_stride = score_stride / Dot::per_word;

  // Rows of the stretch against one segment of keys; `position` of the stretch's first row is relative to the segment's first key.
  struct Block {
    std::int64_t row;
    int rows;
    std::int64_t position;
    std::int64_t keys;
  };
  [[nodiscard]] Block block_of(const Stretch& stretch, std::int64_t s, std::int64_t row) const {
    const std::int64_t begin = s * segment;
    return {.row = row,
            .rows = static_cast<int>(std::min(block_rows, stretch.rows - row)),
            .position = stretch.position - begin,
            .keys = std::min(stretch.position + stretch.rows - begin, segment)};
  }

  // leaf_ = the block's rows against segment s; keys up to `packed`, from the stretch's first, are packed already, and more are as they are
  // seen, so that fetching the next panel overlaps with this block's work.
  void attend_segment(const Head<Dot>& head, const Stretch& stretch, float scale, std::int64_t s, const Block& block,
                      std::int64_t& packed) {
    const std::int64_t begin = s * segment;
    const std::int64_t end = begin + block.keys;
    const std::int64_t rows = stretch.rows;
    const std::int64_t first_row = stretch.row + block.row;
    for (const std::int64_t seen_end = begin + seen(block, block.rows - 1); packed < seen_end; packed += panel_keys) {
      pack(head, stretch.key + packed, std::min(panel_keys, end - packed), packed - begin);
    }
    for (int i = 0; i < block.rows; ++i) gather_row(queries_, i, head.q, {}, first_row + i);
    multiply_scores(block);
    if (draws_.inspection != nullptr) look_at_scores(block, stretch, s);
    std::vector<float> before_weights;
    const bool weights_struck = Dot::per_word == 1 && hit(2, block, s);
    if (weights_struck) before_weights.assign(scores_, scores_ + block.rows * score_stride);
    const auto meanwhile = [&](int i) {
      const std::int64_t query = first_row + i;
      if (s + 1 == segments_of(stretch)) {
        prefetch<true>(head.o + query * head.o_stride, widths_.value * static_cast<std::int64_t>(sizeof(float)));
      }
      if (packed + i < end) fetch_key(head, stretch.key + packed + i);
      if (block.row + block_rows + i < rows) prefetch_row(head.q, query + block_rows);
    };
    draws_.checks() ? weigh<true>(block, scale, meanwhile) : weigh<false>(block, scale, meanwhile);
    if (weights_struck)
      strike(scores_, score_stride, block, stretch, panel_keys, seen(block, static_cast<std::int64_t>(aim_->row - block.row)),
             before_weights);
    if (draws_.checks()) check_weights(block, stretch);
    std::vector<float> earlier;
    const bool struck = draws_.inspection != nullptr && hit(1, block, s);
    if (struck) earlier.assign(leaf_.o, leaf_.o + block.rows * value_width_);
    multiply_values(block);
    if (struck) strike(leaf_.o, value_width_, block, stretch, tile_vectors * lanes, widths_.value, earlier);
    if (draws_.checks()) check_values(block, stretch);
  }

  [[nodiscard]] bool hit(int which, const Block& block, std::int64_t s) const {
    return aim_ != nullptr && aim_->open() && aim_->which == which && aim_->segment == s && aim_->row >= block.row &&
           aim_->row < block.row + block.rows;
  }
  [[nodiscard]] std::int64_t result_row(const Block& block, const Stretch& stretch, int i) const { return stretch.row + block.row + i; }
  void strike(float* c, std::int64_t stride, const Block& block, const Stretch& stretch, std::int64_t width, std::int64_t columns,
              const std::vector<float>& earlier) const {
    const auto row = static_cast<int>(aim_->row - block.row);
    int first = 0;
    int rows = 0;
    for (; first + (rows = rows_of_tile(block.rows - first)) <= row; first += rows) {
    }
    strike_tile(*aim_->strike, c, stride, first, rows, width, columns, row,
                static_cast<std::int64_t>(aim_->column * static_cast<double>(columns)), earlier, result_row(block, stretch, first));
  }
  void look_at_scores(const Block& block, const Stretch& stretch, std::int64_t s) {
    if (hit(0, block, s))
      strike(scores_, score_stride, block, stretch, panel_keys, seen(block, static_cast<std::int64_t>(aim_->row - block.row)),
             earlier_scores_);
    if (!draws_.checks()) return;
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      score_factors_.check(*draws_.inspection, 0, queries_.words + i * key_words_, key_words_, rows, scores_ + i * score_stride,
                           seen(block, i + rows - 1), draws_.keys, [&](int k) { return result_row(block, stretch, i + k); });
    }
  }
  void check_values(const Block& block, const Stretch& stretch) const {
    const float* f = value_factors_;
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      const std::int64_t keys = seen(block, i + rows - 1);
      check_tile<typename Dot::Element>(*draws_.inspection, 0, matrix_of(weights_ + i * weight_stride, weight_stride * 4), rows, keys,
                                        {{f, f + value_factor_width, f + 2 * value_factor_width}}, leaf_.o + i * value_width_, value_width_,
                                        widths_.value, draws_.width, value_bounds_[static_cast<std::size_t>((keys + lanes - 1) / lanes)],
                                        [&](int k) { return result_row(block, stretch, i + k); });
    }
  }

  // Whether the weights are stored as they were made: they are none negative, so that what they add up to leaves no room for a wrong one.
  void check_weights(const Block& block, const Stretch& stretch) const {
    const std::int64_t longest = round_up(seen(block, block.rows - 1), lanes);
    for (int i = 0; i < block.rows; ++i) {
      F32 sum = zero();
      for (std::int64_t j = 0; j < longest; j += lanes) {
        if constexpr (Dot::per_word == 1) {
          sum = sum + load(scores_ + i * score_stride + j);
        } else {
          sum = sum + load_bf16_first(reinterpret_cast<const std::uint16_t*>(weights_ + i * weight_stride) + j, lanes);
        }
      }
      const float difference = tree_of_lanes(sum) - stored_[i];
      const float bound = sum_bound(longest) * stored_[i];
      if (!(std::fabs(difference) <= bound)) draws_.inspection->doubt(0, result_row(block, stretch, i), difference, bound);
    }
  }

  // Keys of the segment that row i of the block sees.
  [[nodiscard]] std::int64_t seen(const Block& block, std::int64_t i) const {
    return std::min(block.keys, block.position + block.row + i + 1);
  }

  static void fetch_key(const Head<Dot>& head, std::int64_t row) {
    prefetch_row(head.key_left, row);
    prefetch_row(head.key_right, row);
    prefetch_row(head.value, row);
  }

  // One panel: up to panel_keys keys from key row `first_key`, the segment's from `at` on.
  void pack(const Head<Dot>& head, std::int64_t first_key, std::int64_t keys, std::int64_t at) {
    for (std::int64_t i = 0; i < keys; ++i) gather_row(gathered_keys_, i, head.key_left, head.key_right, first_key + i);
    transpose_rows(gathered_keys_, keys, keys_ + at * key_words_);
    if (draws_.checks()) {
      score_factors_.add(gathered_keys_, at, draws_.keys);
      float* to = value_factors_ + at;
      float* const vectors[3] = {to, to + value_factor_width, to + 2 * value_factor_width};
      gemm::factors_down<typename Dot::Element>(
          matrix_of(head.value.row(first_key), head.value.stride * static_cast<std::int64_t>(sizeof(typename Dot::Element))), widths_.value,
          keys, draws_.width, vectors);
    }
    Word* values = values_ + at / Dot::per_word * value_width_;
    if constexpr (Dot::per_word == 1) gathered_values_.words = values;
    for (std::int64_t i = 0; i < keys; ++i) gather_row(gathered_values_, i, head.value, {}, first_key + i);
    if constexpr (Dot::per_word == 2) pair_rows(gathered_values_, keys, widths_.value, values);
  }

  void multiply_scores(const Block& block) {
    if (aim_ != nullptr && aim_->open()) [[unlikely]]
      earlier_scores_.assign(scores_, scores_ + block.rows * score_stride);
    const std::int64_t longest = seen(block, block.rows - 1);
    for (std::int64_t j = 0; j < longest; j += panel_keys) {
      for (int i = 0, rows = 0; i < block.rows; i += rows) {
        rows = rows_of_tile(block.rows - i);
        const std::int64_t rest = seen(block, i + rows - 1) - j;
        if (rest <= 0) continue;
        multiply_segments<Dot>(rows, rest > lanes ? 2 : 1,
                               {.a = queries_.words + i * key_words_,
                                .a_stride = key_words_,
                                .b = keys_ + j * key_words_,
                                .b_stride = panel_keys,
                                .steps = 0,
                                .c = scores_ + i * score_stride + j,
                                .c_stride = score_stride,
                                .resume = false},
                               widths_.key);
      }
    }
  }

  // Scores to weights, with each row's m and l. What a row does not see becomes +0 up to the block's longest row. `meanwhile(i)` is called
  // before each row. `checked`: also what the weights add up to as they are stored.
  template <bool checked, typename Meanwhile>
  void weigh(const Block& block, float scale, Meanwhile meanwhile) {
    const std::int64_t longest = round_up(seen(block, block.rows - 1), lanes);
    const F32 factor = set1(scale);
    for (int i = 0; i < block.rows; ++i) {
      meanwhile(i);
      const std::int64_t count = seen(block, i);
      F32 rounded = zero();
      const RowSums sums = weigh_row(scores_ + i * score_stride, count, factor, [&](std::int64_t j, F32 p) {
        put_weights(i, j, p);
        if constexpr (checked && Dot::per_word == 2) rounded = rounded + from_bits(shift_left<16>(to_bf16(p)));
      });
      leaf_.m[i] = sums.m;
      leaf_.l[i] = sums.l;
      if constexpr (checked) stored_[i] = Dot::per_word == 2 ? tree_of_lanes(rounded) : leaf_.l[i];
      for (std::int64_t j = round_up(count, lanes); j < longest; j += lanes) put_weights(i, j, zero());
    }
  }
  void put_weights(int i, std::int64_t j, F32 p) {
    if constexpr (Dot::per_word == 1) {
      store(scores_ + i * score_stride + j, p);
    } else {
      store_bf16(reinterpret_cast<std::uint16_t*>(weights_ + i * weight_stride) + j, p);
    }
  }

  void multiply_values(const Block& block) {
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      multiply_masked<Dot, Left::by_row>(rows, value_width_ / lanes,
                                         {.a = weights_ + i * weight_stride,
                                          .a_stride = weight_stride,
                                          .b = values_,
                                          .b_stride = value_width_,
                                          .steps = words_of<Dot>(seen(block, i + rows - 1)),
                                          .c = leaf_.o + i * value_width_,
                                          .c_stride = value_width_,
                                          .resume = false},
                                         [&](int k) {
                                           return Seen{0, seen(block, i + k)};
                                         });
    }
  }

  void finish(const Head<Dot>& head, const Stretch& stretch, const Block& block) {
    const std::int64_t first_row = stretch.row + block.row;
    float* results = head.o + first_row * head.o_stride;
    std::vector<float> before;
    const bool struck = aim_ != nullptr && hit(3, block, aim_->segment);
    if (struck) before.assign(results, results + (block.rows - 1) * head.o_stride + widths_.value);
    const auto value = [&](int i, std::int64_t c, float l) { return (again(load(leaf_.o + i * value_width_ + c)) + zero()) / set1(l); };
    for (int i = 0; i < block.rows; ++i) {
      const std::int64_t row = first_row + i;
      const float l = leaf_.l[i] + 0.0f;
      if (head.m != nullptr) {
        head.m[row * head.ml_stride] = leaf_.m[i];
        head.l[row * head.ml_stride] = l;
      }
      float* to = results + i * head.o_stride;
      vectors(widths_.value, [&](std::int64_t c, int n) { store_n(to + c, value(i, c, l), n); });
    }
    if (struck) strike(results, head.o_stride, block, stretch, tile_vectors * lanes, widths_.value, before);
    for (int i = 0; draws_.checks() && i < block.rows; ++i) {
      const std::int64_t row = first_row + i;
      const float l = leaf_.l[i] + 0.0f;
      Same same;
      if (head.m != nullptr) {
        same.look(head.m[row * head.ml_stride], leaf_.m[i]);
        same.look(head.l[row * head.ml_stride], l);
      }
      const float* from = results + i * head.o_stride;
      vectors(widths_.value, [&](std::int64_t c, int n) {
        const F32 made = value(i, c, l);
        same.look(load_n(from + c, n), n == lanes ? made : select(first(n), made, zero()));
      });
      if (!same.holds()) draws_.inspection->doubt(0, result_row(block, stretch, i), std::numeric_limits<double>::infinity(), 0);
    }
  }

  static constexpr std::int64_t value_factor_width = segment + 64;

  Draws draws_;
  ScoreFactors<Dot> score_factors_;
  float* value_factors_;
  std::vector<Bounds> value_bounds_;
  const AttentionAim* aim_ = nullptr;
  std::vector<float> earlier_scores_;
  Widths widths_;
  std::int64_t key_words_;    // of a key, in words, rounded up
  std::int64_t value_width_;  // of a value, in elements, rounded up
  WordRows<Dot> gathered_keys_;
  WordRows<Dot> gathered_values_;
  WordRows<Dot> queries_;
  Word* keys_;     // panels
  Word* values_;   // [segment / per_word][value_width_]
  float* scores_;  // [block_rows][score_stride]
  Word* weights_;  // [block_rows][weight_stride]; of f32 the scores' memory
  Leaf leaf_;
  NodeTree tree_;
  float stored_[block_rows] = {};  // what each row's weights add up to, as they are stored
};

// Rows begin … end − 1 at positions from `position` on, whose position 0 is key row `key`, cut into stretches at multiples of `positions`.
inline void cut(std::int64_t row, std::int64_t rows, std::int64_t position, std::int64_t key, std::int64_t positions, Stretch* stretches,
                std::int64_t& count) {
  while (rows > 0) {
    const std::int64_t now = std::min(rows, positions - position % positions);
    stretches[count++] = {row, now, position, key};
    row += now;
    rows -= now;
    position += now;
  }
}

// Decode: the runs of rows with one slot and consecutive positions become stretches; the others (padding) are none.
inline std::int64_t cut_streams(const View& slots, const View& positions, std::int64_t streams, std::int64_t capacity, std::int64_t at_once,
                                Stretch* stretches) {
  const std::int32_t* slot = slots.i32();
  const std::int32_t* position = positions.i32();
  const std::int64_t rows = slots.count();
  const auto valid = [&](std::int64_t t) { return slot[t] >= 0 && slot[t] < streams && position[t] >= 0 && position[t] < capacity; };
  std::int64_t count = 0;
  for (std::int64_t t = 0; t < rows;) {
    std::int64_t run = 1;
    if (valid(t)) {
      while (t + run < rows && slot[t + run] == slot[t] && valid(t + run) && position[t + run] == position[t] + run) ++run;
      cut(t, run, position[t], slot[t] * capacity, at_once, stretches, count);
    }
    t += run;
  }
  return count;
}

// A list of stretches and every thread's scratch, in the workspace.
template <typename Dot>
class Team {
 public:
  Team(const Call& call, std::byte* workspace, const Widths& widths, std::int64_t longest, std::int64_t most_stretches)
      : carve_(workspace), widths_(widths), most_segments_((longest + segment - 1) / segment), draws_(carve_, call, widths.value) {
    stretches = carve_.take<Stretch>(most_stretches);
    nodes_ = carve_.take<float>(shared_items(call) * most_segments_ * Forward<Dot>::node_floats(widths));
    for (int i = 0; i < call.pool->threads(); ++i) threads_.emplace_back(carve_, widths, longest, most_stretch_rows, draws_);
  }
  [[nodiscard]] std::int64_t bytes() const { return carve_.used(); }

  // All heads of the stretches; `head(h)` tells where head h's operands and results are.
  template <typename HeadOf>
  void run(const Call& call, std::int64_t count, std::int64_t heads, HeadOf head) {
    const float scale = call.real32("scale");
    draws_.draw();
    const AttentionAim aim = aim_of(count, heads);
    if (draws_.checks()) draws_.inspection->count(0);
    if (shares(call, count, heads)) return run_shared(call, count, heads, head);
    call.pool->each(count * heads, [&](std::int64_t item, int thread) {
      Forward<Dot>& own = threads_[static_cast<std::size_t>(thread)];
      own.aim(aim.strike != nullptr && aim.item == item ? &aim : nullptr);
      own.run(head(item % heads), stretches[item / heads], scale);
    });
  }

  Stretch* stretches = nullptr;

 private:
  // Fewer stretches than this leave threads without work.
  [[nodiscard]] static std::int64_t shared_items(const Call& call) { return std::int64_t{2} * call.pool->threads() - 1; }
  [[nodiscard]] bool shares(const Call& call, std::int64_t count, std::int64_t heads) const {
    if (call.pool->threads() == 1 || count * heads > shared_items(call)) return false;
    const std::span<const Stretch> all(stretches, static_cast<std::size_t>(count));
    return std::all_of(all.begin(), all.end(), [&](const Stretch& s) { return s.rows <= block_rows; }) &&
           std::any_of(all.begin(), all.end(), [](const Stretch& s) { return Forward<Dot>::segments_of(s) > 1; });
  }

  [[nodiscard]] AttentionAim aim_of(std::int64_t count, std::int64_t heads) const {
    AttentionAim aim;
    if (draws_.strike() == nullptr || count * heads == 0) return aim;
    Chance chance = draws_.strike()->chance;
    aim.item = chance.below(count * heads);
    const Stretch& stretch = stretches[aim.item / heads];
    aim.which = static_cast<int>(chance.below(4));
    aim.row = chance.below(stretch.rows);
    aim.segment = aim.which == 3 ? Forward<Dot>::segments_of(stretch) - 1 : chance.below(Forward<Dot>::segments_of(stretch));
    aim.column = chance.real();
    aim.strike = draws_.strike();
    return aim;
  }

  // A few streams: their segments are spread over the threads, then joined.
  template <typename HeadOf>
  void run_shared(const Call& call, std::int64_t count, std::int64_t heads, HeadOf head) {
    const float scale = call.real32("scale");
    const std::int64_t node = Forward<Dot>::node_floats(widths_);
    call.pool->each(count * heads * most_segments_, [&](std::int64_t index, int thread) {
      const std::int64_t item = index / most_segments_;
      const std::int64_t s = index % most_segments_;
      const Stretch& stretch = stretches[item / heads];
      if (s >= Forward<Dot>::segments_of(stretch)) return;
      threads_[static_cast<std::size_t>(thread)].run_segment(head(item % heads), stretch, scale, s, nodes_ + index * node);
    });
    call.pool->each(count * heads, [&](std::int64_t item, int thread) {
      threads_[static_cast<std::size_t>(thread)].join_segments(head(item % heads), stretches[item / heads],
                                                               nodes_ + item * most_segments_ * node);
    });
  }

  Carve carve_;
  Widths widths_;
  std::int64_t most_segments_;
  Draws draws_;
  float* nodes_ = nullptr;
  std::vector<Forward<Dot>> threads_;
};

// The decode ops: in = {q, cached keys and values, k_pe, slots, positions}, out = {o}; `heads` work items a stretch.
template <typename Dot>
Team<Dot> stream_team(const Call& call, std::byte* workspace, const Widths& widths) {
  return {call, workspace, widths, call.in[1].shape[1], call.in[0].shape[0]};
}
template <typename Dot, typename HeadOf>
void run_streams(const Call& call, const Widths& widths, std::int64_t heads, HeadOf head) {
  Team<Dot> team = stream_team<Dot>(call, call.workspace, widths);
  const std::int64_t streams = call.in[1].shape[0];
  const std::int64_t capacity = call.in[1].shape[1];
  const std::int64_t rows = call.in[0].shape[0];
  const std::int64_t positions = stretch_positions(rows, heads, call.pool->threads());
  const std::int64_t count = cut_streams(call.in[3], call.in[4], streams, capacity, positions, team.stretches);
  // What no stretch covers is padding.
  const std::int64_t width = call.out[0].width();
  std::int64_t row = 0;
  for (std::int64_t i = 0; i <= count; ++i) {
    const std::int64_t next = i < count ? team.stretches[i].row : rows;
    std::fill(call.out[0].f32() + row * width, call.out[0].f32() + next * width, 0.0f);
    if (i < count) row = next + team.stretches[i].rows;
  }
  team.run(call, count, heads, head);
}

}  // namespace godwit::cpu::GODWIT_ISA::attend
