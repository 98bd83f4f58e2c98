// Attention over a paged cache of latents: scores are made, used and forgotten a block of query rows against a segment of keys at a time
// (docs/arithmetic.md, attention). Query row t·H + h is head h of the op's row t: the heads share their keys, so a stream's cache is read
// once for all of them, and for all rows that follow one another in it.
//
// The work is cut into *stretches*: rows of one stream at consecutive positions, within one segment. A row's bits depend on its keys alone,
// so the cutting is free.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "attention_check.h"
#include "attention_nodes.h"
#include "attention_tile.h"
#include "functions.h"
#include "kernel.h"
#include "latent_tile.h"
#include "rows.h"
#include "twice.h"

namespace godwit::cpu::GODWIT_ISA::attend::latent {

// Where the latents of a stream's positions lie.
template <typename Element>
struct Cache {
  const Element* latent;
  const Element* k_pe;
  std::int64_t width;   // of a latent, in elements; it is the value too
  std::int64_t rotary;  // of k_pe
  std::int64_t page;    // positions

  Cache(const View& latents, const View& k_pes)
      : latent(latents.as<Element>()), k_pe(k_pes.as<Element>()), width(latents.shape[2]), rotary(k_pes.shape[2]), page(latents.shape[1]) {}
  [[nodiscard]] std::int64_t cell(const std::int32_t* pages, std::int64_t position) const {
    return pages[position / page] * page + position % page;
  }
  [[nodiscard]] Columns<Element> latents() const { return {latent, width, width}; }
  [[nodiscard]] Columns<Element> k_pes() const { return {k_pe, rotary, rotary}; }
};

// Rows of the op row … row + rows − 1; row i sees positions 0 … position + i of the stream whose pages these are.
struct Stretch {
  std::int64_t row;
  std::int64_t rows;
  std::int64_t position;
  const std::int32_t* pages;
};

struct Widths {
  std::int64_t key;
  std::int64_t value;
  std::int64_t heads;
};

template <typename Dot>
struct Operands {
  Columns<typename Dot::Element> q;  // by query row
  Cache<typename Dot::Element> cache;
  float* o;  // by query row, as wide as a latent
};

inline constexpr std::int64_t most_stretch_rows = 256;  // query rows
// Query rows worked on together: their scores against a segment stay near, and a panel of keys serves them all. Whole tiles of six and of
// eight.
inline constexpr std::int64_t block_rows = 48;

// Positions of a stretch: enough for their keys' packing to be small beside the products, few enough that every thread has work. A power
// of two, so that a stretch cut at its multiples lies within one segment.
[[nodiscard]] inline std::int64_t stretch_positions(std::int64_t positions, std::int64_t heads, int threads) {
  std::int64_t most = most_stretch_rows;
  while (most > 1 && most * heads > most_stretch_rows) most /= 2;
  while (most > 1 && most * heads > block_rows && (positions + most - 1) / most < std::int64_t{4} * threads) most /= 2;
  return most;
}

// One thread's scratch and the work on one stretch.
template <typename Dot>
class Forward {
  using Element = typename Dot::Element;

 public:
  // `longest`: the most keys a row can see. `rows`: the most query rows of a stretch.
  Forward(Carve& carve, const Widths& widths, std::int64_t longest, std::int64_t rows, const Draws& draws)
      : draws_(draws),
        score_factors_(carve, draws.verify, widths.key),
        value_factors_(carve.take<float>(draws.verify ? gemm::factor_vectors * value_factor_width : 0)),
        widths_(widths),
        key_words_(WordRows<Dot>::width_of(widths.key)),
        value_width_(round_up(widths.value, lanes)),
        gathered_{carve.take<Word>(panel_keys * key_words_), key_words_},
        queries_{carve.take<Word>(block_rows * key_words_), key_words_},
        keys_(carve.take<Word>(segment * key_words_)),
        values_(carve.take<Word>(value_width_ / lanes * value_panel)),
        left_(carve, std::max(widths.key, segment)),
        scores_(carve.take<float>(block_rows * score_stride)),
        weights_(Dot::per_word == 1 ? reinterpret_cast<Word*>(scores_) : carve.take<Word>(block_rows * weight_stride)),
        leaf_(carve, block_rows, value_width_),
        tree_(carve, longest, rows, value_width_, draws) {
    for (std::int64_t n = 0; draws.verify && n <= segment / lanes; ++n)
      value_bounds_.emplace_back(std::max<std::int64_t>(n, 1) * lanes, gemm::segment, widths.value);
  }
  // What spoils the next stretch, or null.
  void aim(const AttentionAim* aim) { aim_ = aim; }

  void run(const Operands<Dot>& operands, const Stretch& stretch, float scale) {
    const std::int64_t rows = stretch.rows * widths_.heads;
    const std::int64_t segments = segments_of(stretch);
    for (std::int64_t s = 0; s < segments; ++s) {
      std::int64_t packed = s * segment;
      for (std::int64_t row = 0; row < rows; row += block_rows) {
        const Block block = block_of(stretch, s, row);
        attend_segment(operands, stretch, scale, s, block, packed);
        tree_.take_in(leaf_, block.row, block.rows, s, s + 1 == segments);
        if (s + 1 == segments) finish(operands, stretch, block);
      }
    }
  }

  // A stretch of at most block_rows query rows in two halves, so that several threads can share its segments: one segment's node, put at
  // `to`, and the join of all of them, which lie node_floats() apart.
  void run_segment(const Operands<Dot>& operands, const Stretch& stretch, float scale, std::int64_t s, float* to) {
    const Block block = block_of(stretch, s, 0);
    std::int64_t packed = s * segment;
    attend_segment(operands, stretch, scale, s, block, packed);
    leaf_.put(block.rows, to);
  }
  void join_segments(const Operands<Dot>& operands, const Stretch& stretch, const float* nodes) {
    const std::int64_t segments = segments_of(stretch);
    for (std::int64_t s = 0; s < segments; ++s, nodes += node_floats(widths_)) {
      const Block block = block_of(stretch, s, 0);
      leaf_.get(block.rows, nodes);
      tree_.take_in(leaf_, block.row, block.rows, s, s + 1 == segments);
      if (s + 1 == segments) finish(operands, stretch, block);
    }
  }
  [[nodiscard]] static std::int64_t node_floats(const Widths& widths) { return Leaf::floats(block_rows, round_up(widths.value, lanes)); }
  [[nodiscard]] static std::int64_t segments_of(const Stretch& stretch) {
    return (stretch.position + stretch.rows + segment - 1) / segment;
  }

 private:
  static constexpr std::int64_t weight_stride = score_stride / Dot::per_word;
  // Words of sixteen columns of values. A step more than a segment has, so that panels do not fall into the same cache sets.
  static constexpr std::int64_t value_panel = (segment / Dot::per_word + 1) * lanes;

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
            .rows = static_cast<int>(std::min(block_rows, stretch.rows * widths_.heads - row)),
            .position = stretch.position - begin,
            .keys = std::min(stretch.position + stretch.rows - begin, segment)};
  }

  // leaf_ = the block's rows against segment s; keys up to `packed`, from the stretch's first, are packed already, and more are as they are
  // seen, so that fetching the next panel overlaps with this block's work.
  void attend_segment(const Operands<Dot>& operands, const Stretch& stretch, float scale, std::int64_t s, const Block& block,
                      std::int64_t& packed) {
    const std::int64_t begin = s * segment;
    const std::int64_t end = begin + block.keys;
    const std::int64_t rows = stretch.rows * widths_.heads;
    const std::int64_t first_row = stretch.row * widths_.heads + block.row;
    for (const std::int64_t seen_end = begin + seen(block, block.rows - 1); packed < seen_end; packed += panel_keys) {
      pack(operands.cache, stretch.pages, packed, std::min(panel_keys, end - packed), packed - begin);
    }
    for (int i = 0; i < block.rows; ++i) gather_row(queries_, i, operands.q, {}, first_row + i);
    multiply_scores(block);
    if (draws_.inspection != nullptr) look_at_scores(block, stretch, s);
    std::vector<float> before_weights;
    const bool weights_struck = Dot::per_word == 1 && hit(2, block, s);
    if (weights_struck) before_weights.assign(scores_, scores_ + block.rows * score_stride);
    const auto meanwhile = [&](int i) {
      const std::int64_t query = first_row + i;
      if (s + 1 == segments_of(stretch)) {
        prefetch<true>(operands.o + query * widths_.value, widths_.value * static_cast<std::int64_t>(sizeof(float)));
      }
      if (packed + i < end) fetch_key(operands.cache, operands.cache.cell(stretch.pages, packed + i));
      if (block.row + block_rows + i < rows) prefetch_row(operands.q, query + block_rows);
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
    if (struck) strike(leaf_.o, value_width_, block, stretch, latent::tile_vectors * lanes, widths_.value, earlier);
    if (draws_.checks()) check_values(block, stretch);
  }

  [[nodiscard]] bool hit(int which, const Block& block, std::int64_t s) const {
    return aim_ != nullptr && aim_->open() && aim_->which == which && aim_->segment == s && aim_->row >= block.row &&
           aim_->row < block.row + block.rows;
  }
  [[nodiscard]] std::int64_t result_row(const Block& block, const Stretch& stretch, int i) const {
    return (stretch.row * widths_.heads + block.row + i) / widths_.heads;
  }
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
      check_tile<Element>(*draws_.inspection, 0, matrix_of(weights_ + i * weight_stride, weight_stride * 4), rows, keys,
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
    return std::min(block.keys, block.position + (block.row + i) / widths_.heads + 1);
  }

  static void fetch_key(const Cache<Element>& cache, std::int64_t cell) {
    prefetch_row(cache.latents(), cell);
    prefetch_row(cache.k_pes(), cell);
  }

  // One panel: up to panel_keys keys from `position` on, the segment's from `at` on.
  void pack(const Cache<Element>& cache, const std::int32_t* pages, std::int64_t position, std::int64_t keys, std::int64_t at) {
    for (std::int64_t i = 0; i < keys; ++i) {
      gather_row(gathered_, i, cache.latents(), cache.k_pes(), cache.cell(pages, position + i));
    }
    for (std::int64_t i = keys; i < panel_keys; ++i) gathered_.clear(i);
    for (std::int64_t j = 0; j < panel_keys; j += lanes) pack_keys(gathered_.words + j * key_words_, keys_ + (at + j) * key_words_);
    if (draws_.checks()) {
      score_factors_.add(gathered_, at, draws_.keys);
      float* to = value_factors_ + at;
      float* const vectors[3] = {to, to + value_factor_width, to + 2 * value_factor_width};
      gemm::factors_down<Element>(matrix_of(gathered_.words, key_words_ * 4), widths_.value, keys, draws_.width, vectors);
    }
    for (std::int64_t c = 0; c < value_width_; c += lanes) {
      pack_values(c, values_ + c / lanes * value_panel + at / Dot::per_word * lanes);
    }
  }
  // Sixteen keys: word w of key j at w · 16 + j.
  void pack_keys(const Word* from, Word* to) const {
    for (std::int64_t w = 0; w < key_words_; w += lanes) {
      transpose_words([&](int i) { return from + i * key_words_ + w; }, lanes, to + w * lanes, lanes);
    }
  }
  // Sixteen columns of what is gathered, as the right operand of a product over keys: bf16 keys go two by two. A missing key is zeros, what
  // lies in a column behind the value is read by nobody.
  void pack_values(std::int64_t column, Word* to) const {
    for (std::int64_t i = 0; i < panel_keys; i += Dot::per_word, to += lanes) {
      if constexpr (Dot::per_word == 1) {
        store_words(to, load_words(gathered_.words + i * key_words_ + column));
      } else {
        const I32 even = shift_right<16>(bits(load_bf16(gathered_.row(i) + column)));
        const I32 odd = bits(load_bf16(gathered_.row(i + 1) + column));
        store_words(to, even | odd);
      }
    }
  }

  void multiply_scores(const Block& block) {
    if (aim_ != nullptr && aim_->open()) [[unlikely]]
      earlier_scores_.assign(scores_, scores_ + block.rows * score_stride);
    for (int i = 0, rows = 0; i < block.rows; i += rows) {
      rows = rows_of_tile(block.rows - i);
      left_.set(queries_.words + i * key_words_, key_words_, rows, widths_.key);
      const std::int64_t panels = (seen(block, i + rows - 1) + lanes - 1) / lanes;
      for (std::int64_t p = 0; p < panels; p += tile_vectors) {
        multiply_segments<Dot>(rows, static_cast<int>(std::min<std::int64_t>(tile_vectors, panels - p)), left_,
                               {.a = nullptr,
                                .a_stride = 0,
                                .b = keys_ + p * lanes * key_words_,
                                .b_panel = lanes * key_words_,
                                .steps = 0,
                                .c = scores_ + i * score_stride + p * lanes,
                                .c_stride = score_stride},
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
      const std::int64_t keys = seen(block, i + rows - 1);
      const Word* const weights = weights_ + i * weight_stride;
      float* const sums = leaf_.o + i * value_width_;
      left_.set(weights, weight_stride, rows, keys);
      const std::int64_t panels = value_width_ / lanes;
      for (std::int64_t p = 0; p < panels; p += tile_vectors) {
        multiply_segments<Dot>(rows, static_cast<int>(std::min<std::int64_t>(tile_vectors, panels - p)), left_,
                               {.a = nullptr,
                                .a_stride = 0,
                                .b = values_ + p * value_panel,
                                .b_panel = value_panel,
                                .steps = 0,
                                .c = sums + p * lanes,
                                .c_stride = value_width_},
                               keys);
      }
      // Weights are zero where a row does not see. A zero meets a non-finite value only if a NaN comes out: then the tile is done again row
      // by row over what each sees.
      if (seen(block, i) == keys && keys % Dot::per_word == 0) continue;
      if (!has_nan(sums, value_width_, rows, panels)) continue;
      for (int k = 0; k < rows; ++k) {
        for (std::int64_t p = 0; p < panels; ++p) {
          multiply_seen<Dot, Left::by_row>(1,
                                           {.a = weights + k * weight_stride,
                                            .a_stride = weight_stride,
                                            .b = values_ + p * value_panel,
                                            .b_stride = lanes,
                                            .steps = 0,
                                            .c = sums + k * value_width_ + p * lanes,
                                            .c_stride = value_width_,
                                            .resume = false},
                                           {0, seen(block, i + k)});
        }
      }
    }
  }

  void finish(const Operands<Dot>& operands, const Stretch& stretch, const Block& block) {
    const std::int64_t first_row = stretch.row * widths_.heads + block.row;
    float* results = operands.o + first_row * widths_.value;
    std::vector<float> before;
    const bool struck = aim_ != nullptr && hit(3, block, aim_->segment);
    if (struck) before.assign(results, results + block.rows * widths_.value);
    const auto value = [&](int i, std::int64_t c, float l) { return (again(load(leaf_.o + i * value_width_ + c)) + zero()) / set1(l); };
    for (int i = 0; i < block.rows; ++i) {
      const float l = leaf_.l[i] + 0.0f;
      float* to = results + i * widths_.value;
      vectors(widths_.value, [&](std::int64_t c, int n) { store_n(to + c, value(i, c, l), n); });
    }
    if (struck) strike(results, widths_.value, block, stretch, latent::tile_vectors * lanes, widths_.value, before);
    for (int i = 0; draws_.checks() && i < block.rows; ++i) {
      const float l = leaf_.l[i] + 0.0f;
      Same same;
      const float* from = results + i * widths_.value;
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
  WordRows<Dot> gathered_;
  WordRows<Dot> queries_;
  Word* keys_;    // panels of sixteen keys
  Word* values_;  // panels of sixteen columns
  LeftRows<Dot> left_;
  float* scores_;  // [block_rows][score_stride]
  Word* weights_;  // [block_rows][weight_stride]; of f32 the scores' memory
  Leaf leaf_;
  NodeTree tree_;
  float stored_[block_rows] = {};  // what each row's weights add up to, as they are stored
};

// The runs of rows with one slot and consecutive positions become stretches, cut at multiples of `at_once` positions; the other rows
// (padding) are none.
inline std::int64_t cut_streams(const View& slots, const View& positions, const View& table, std::int64_t pages, std::int64_t page,
                                std::int64_t at_once, Stretch* stretches) {
  const std::int32_t* slot = slots.i32();
  const std::int32_t* position = positions.i32();
  const std::int64_t rows = slots.count();
  const std::int64_t blocks = table.shape[1];
  const auto pages_of = [&](std::int64_t t) { return table.i32() + slot[t] * blocks; };
  const auto valid = [&](std::int64_t t) {
    if (slot[t] < 0 || slot[t] >= table.shape[0] || position[t] < 0 || position[t] >= blocks * page) return false;
    return std::all_of(pages_of(t), pages_of(t) + position[t] / page + 1, [&](std::int32_t p) { return p >= 0 && p < pages; });
  };
  std::int64_t count = 0;
  for (std::int64_t t = 0; t < rows;) {
    std::int64_t run = 1;
    if (valid(t)) {
      while (t + run < rows && slot[t + run] == slot[t] && position[t + run] == position[t] + run && valid(t + run)) ++run;
      for (std::int64_t done = 0; done < run;) {
        const std::int64_t at = position[t] + done;
        const std::int64_t now = std::min(run - done, at_once - at % at_once);
        stretches[count++] = {t + done, now, at, pages_of(t)};
        done += now;
      }
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
    const std::int64_t rows = std::max(most_stretch_rows, widths.heads);
    for (int i = 0; i < call.pool->threads(); ++i) threads_.emplace_back(carve_, widths, longest, rows, draws_);
  }
  [[nodiscard]] std::int64_t bytes() const { return carve_.used(); }

  void run(const Call& call, std::int64_t count, const Operands<Dot>& operands) {
    const float scale = call.real32("scale");
    draws_.draw();
    const AttentionAim aim = aim_of(count);
    if (draws_.checks()) draws_.inspection->count(0);
    if (shares(call, count)) return run_shared(call, count, operands);
    call.pool->each(count, [&](std::int64_t item, int thread) {
      Forward<Dot>& own = threads_[static_cast<std::size_t>(thread)];
      own.aim(aim.strike != nullptr && aim.item == item ? &aim : nullptr);
      own.run(operands, stretches[item], scale);
    });
  }

  Stretch* stretches = nullptr;

 private:
  // Fewer stretches than this leave threads without work.
  [[nodiscard]] static std::int64_t shared_items(const Call& call) { return std::int64_t{2} * call.pool->threads() - 1; }
  [[nodiscard]] bool shares(const Call& call, std::int64_t count) const {
    if (call.pool->threads() == 1 || count > shared_items(call)) return false;
    const std::span<const Stretch> all(stretches, static_cast<std::size_t>(count));
    return std::all_of(all.begin(), all.end(), [&](const Stretch& s) { return s.rows * widths_.heads <= block_rows; }) &&
           std::any_of(all.begin(), all.end(), [](const Stretch& s) { return Forward<Dot>::segments_of(s) > 1; });
  }

  [[nodiscard]] AttentionAim aim_of(std::int64_t count) const {
    AttentionAim aim;
    if (draws_.strike() == nullptr || count == 0) return aim;
    Chance chance = draws_.strike()->chance;
    aim.item = chance.below(count);
    const Stretch& stretch = stretches[aim.item];
    aim.which = static_cast<int>(chance.below(4));
    aim.row = chance.below(stretch.rows * widths_.heads);
    aim.segment = aim.which == 3 ? Forward<Dot>::segments_of(stretch) - 1 : chance.below(Forward<Dot>::segments_of(stretch));
    aim.column = chance.real();
    aim.strike = draws_.strike();
    return aim;
  }

  // A few streams: their segments are spread over the threads, then joined.
  void run_shared(const Call& call, std::int64_t count, const Operands<Dot>& operands) {
    const float scale = call.real32("scale");
    const std::int64_t node = Forward<Dot>::node_floats(widths_);
    call.pool->each(count * most_segments_, [&](std::int64_t index, int thread) {
      const Stretch& stretch = stretches[index / most_segments_];
      const std::int64_t s = index % most_segments_;
      if (s >= Forward<Dot>::segments_of(stretch)) return;
      threads_[static_cast<std::size_t>(thread)].run_segment(operands, stretch, scale, s, nodes_ + index * node);
    });
    call.pool->each(count, [&](std::int64_t item, int thread) {
      threads_[static_cast<std::size_t>(thread)].join_segments(operands, stretches[item], nodes_ + item * most_segments_ * node);
    });
  }

  Carve carve_;
  Widths widths_;
  std::int64_t most_segments_;
  Draws draws_;
  float* nodes_ = nullptr;
  std::vector<Forward<Dot>> threads_;
};

}  // namespace godwit::cpu::GODWIT_ISA::attend::latent
