// dw_e = Σ_samples dyᵀ · x, k down the rows: linear's gradient by the weight and its grouped form.
//
// A block of outputs is some columns of dy against some panels of x. The thread that takes it packs its columns of dy, which then stay in
// its L2. Panels of x are packed once for all blocks, or by each block for itself; what lies close enough together is read where it is.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "gemm_check.h"
#include "gemm_rows.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

struct Gradients {
  Matrix dy;            // [rows, out]
  Matrix x;             // [rows, in]
  float* dw = nullptr;  // [experts, out, in]
  std::int64_t experts = 0;
  std::int64_t samples = 0;
  std::int64_t out = 0;
  std::int64_t in = 0;
  Groups rows;  // of expert e and sample s: group e · samples + s
  bool verify = false;
  const Inspection* inspection = nullptr;
};

// Tiles of 8 × 3 vectors: both operands stream from L2 here, and of all tiles that fit the registers this one needs the fewest bytes a
// step: its eight lanes of dy are half a cache line.
#if defined(GODWIT_SIMD_512)
inline constexpr int gradient_rows = 8;
inline constexpr int gradient_vectors = 3;
#else
inline constexpr int gradient_rows = 4;
inline constexpr int gradient_vectors = 1;
#endif
inline constexpr int gradient_width = gradient_vectors * lanes;
inline constexpr int left_width = lanes / 2;  // columns of dy that are packed side by side
static_assert(left_width % gradient_rows == 0 && gradient_rows * gradient_width <= tile_floats);

// Rows of x are packed so many at a time along their whole width: read down one panel, each row would lie in another page.
inline constexpr std::int64_t gradient_pack_rows = 64;

// An operand's lanes at step 0 and how many floats apart the steps are: packed, or f32 rows where they are.
struct Steps {
  const float* data = nullptr;
  std::int64_t apart = 0;

  [[nodiscard]] Steps from(std::int64_t step) const { return {data + step * apart, apart}; }
};

// `steps` steps of gradient_rows lanes of dy and of a panel's columns. Lanes behind the last row are computed too.
template <typename Chain, int vectors>
[[gnu::noinline]] void multiply_steps(Steps left, Steps right, std::int64_t steps, const Target& target) {
  Sums<gradient_rows, vectors> sum;
  {
    [[maybe_unused]] const Mode<Chain::flush_mode> mode;
    begin<Chain, gradient_rows, vectors>(sum);
    const float* a = left.data;
    const float* b = right.data;
    for (const float* end = a + steps * left.apart; a != end; a += left.apart) {
      F32 column[vectors];
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) column[v] = load(b + v * lanes);
      b += right.apart;
#pragma GCC unroll 8
      for (int i = 0; i < gradient_rows; ++i) {
        const F32 lane = set1(a[i]);
#pragma GCC unroll 8
        for (int v = 0; v < vectors; ++v) sum[i][v] = Chain::step(lane, column[v], sum[i][v]);
      }
    }
    end<Chain, gradient_rows, vectors>(sum);
  }
  put<gradient_rows, vectors>(sum, target);
}

using MultiplySteps = void (*)(Steps left, Steps right, std::int64_t steps, const Target& target);

template <typename Chain>
[[nodiscard]] MultiplySteps multiply_steps_of(int vectors) {
  static constexpr auto table = []<int... i>(std::integer_sequence<int, i...>) {
    return std::array<MultiplySteps, sizeof...(i)>{multiply_steps<Chain, i + 1>...};
  }
  (std::make_integer_sequence<int, gradient_vectors>{});
  return table[static_cast<std::size_t>(vectors - 1)];
}

// Who packs x: nobody (it is read where it lies), all threads together before the first block, or each block for itself.
enum class Packer : std::uint8_t { none, all, block };

// A block: `left` columns of dy (a multiple of left_width) and so many panels of x.
struct GradientBlocks {
  std::int64_t left = 0;
  std::int64_t panels = 0;
  Packer packer = Packer::block;  // of x

  friend bool operator==(const GradientBlocks&, const GradientBlocks&) = default;
};

struct GradientShape {
  std::int64_t experts = 0;
  std::int64_t steps = 0;  // of a typical expert
  std::int64_t out = 0;
  std::int64_t in = 0;
  bool left_in_place = false;  // f32 rows at most 1 KiB apart: packing takes longer than what it saves
  bool right_in_place = false;
};

// The blocks with which the last thread should end first, by the cycles a step takes: 4 for eight sums of a vector, some for packing, and
// 12,000 in all for one more round of the threads. Columns of dy and a panel of x must fit L2 together.
[[nodiscard]] inline GradientBlocks choose_gradient_blocks(GradientShape shape, int threads) {
  constexpr std::int64_t l2_floats = std::int64_t{192} << 10;
  const std::int64_t steps = std::max<std::int64_t>(shape.steps, 1);
  const std::int64_t fit = std::max<std::int64_t>(l2_floats / steps - gradient_width, 32);
  const std::int64_t panels = std::max<std::int64_t>(pieces(shape.in, gradient_width), 1);
  const auto left_cost = [&](std::int64_t left) { return shape.left_in_place ? 0 : pieces(left, lanes) * 5; };
  const auto block_cost = [&](std::int64_t left, std::int64_t right, Packer packer) {
    const std::int64_t vectors = std::min(right * gradient_vectors, pieces(shape.in, lanes));
    return pieces(left, left_width) * vectors * 4 + left_cost(left) + vectors * (packer == Packer::block ? 5 : 3);
  };
  GradientBlocks best{.left = left_width, .panels = 1};
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  const auto consider = [&](std::int64_t left, std::int64_t right, Packer packer) {
    const std::int64_t cost = block_cost(left, right, packer);
    const std::int64_t whole = std::max<std::int64_t>(shape.out / left, 1) * std::max<std::int64_t>(panels / right, 1) * shape.experts;
    const std::int64_t down = pieces(shape.out, left);
    const std::int64_t all =
        shape.experts * (down * block_cost(shape.out / down, panels, packer) + (pieces(panels, right) - 1) * left_cost(shape.out));
    const std::int64_t once = packer == Packer::all ? pieces(shape.in, lanes) * 6 / threads + 12000 / steps : 0;
    // Neither are threads equally fast nor experts equally large: a fourth of a block is lost at the end.
    const std::int64_t total = std::max(all / threads, pieces(whole, threads) * cost) + (threads == 1 ? 0 : cost / 4) + once;
    if (total < least) {
      least = total;
      best = {left, right, packer};
    }
  };
  for (std::int64_t down = 1; down <= pieces(shape.out, left_width); down += std::max<std::int64_t>(down / 4, 1)) {
    const std::int64_t left = round_up(pieces(shape.out, down), left_width);
    if (left > fit && left > 32) continue;
    if (left < 32 && least != std::numeric_limits<std::int64_t>::max()) break;
    for (std::int64_t across = 1; across <= panels && across <= 16; ++across) {
      if (shape.right_in_place) {
        consider(left, pieces(panels, across), Packer::none);
        continue;
      }
      consider(left, pieces(panels, across), Packer::block);
      if (shape.experts == 1) consider(left, pieces(panels, across), Packer::all);
    }
  }
  return best;
}

// Each row o of dw = dyᵀ · x is checked as dw_o · r = Σ_t dy[t, o] · (x_t · r), some panels of x at a time.
inline constexpr std::int64_t gradient_span_panels = span_columns / gradient_width;
inline constexpr std::int64_t gradient_span = gradient_span_panels * gradient_width;

template <typename Chain>
class GradientsCheck {
 public:
  using Operand = typename Chain::Operand;
  GradientsCheck(const Gradients& p, Carve& carve)
      : p_(p),
        panels_(pieces(p.in, gradient_width)),
        spans_(pieces(p.in, gradient_span)),
        rows_(p.verify ? p.experts * p.out : 0),
        tokens_(p.verify ? round_up(p.rows.limit, lanes) : 0),
        padded_(round_up(p.in, gradient_width)),
        draws_(carve.take<float>(p.verify ? padded_ : 0)),
        factors_(carve.take<float>(spans_ * factor_vectors * tokens_)),
        weighed_(carve.take<float>(2 * (panels_ + spans_) * rows_)) {}

  void begin(Pool& pool) const {
    draw_vector(p_.inspection->draw(0), padded_, draws_);
    std::memset(weighed_, 0xFF, static_cast<std::size_t>(2 * (panels_ + spans_) * rows_) * sizeof(float));
    pool.ranges(pieces(p_.rows.limit, lanes), 4, [&](std::int64_t begin, std::int64_t end, int) {
      const std::int64_t t = begin * lanes;
      const std::int64_t count = std::min(end * lanes, p_.rows.limit) - t;
      for (std::int64_t span = 0; span < spans_; ++span) {
        const std::int64_t first = span * gradient_span;
        float* to = factors_ + span * factor_vectors * tokens_ + t;
        float* const vectors[3] = {to, to + tokens_, to + 2 * tokens_};
        const Matrix x{p_.x.row(t) + first * static_cast<std::int64_t>(sizeof(Operand)), p_.x.stride};
        factors_down<Operand, true>(x, std::min(gradient_span, p_.in - first), count, draws_ + first, vectors);
      }
    });
  }
  // Columns `rows` of dy against the span that begins with this panel, if one does.
  void left(std::int64_t expert, Range rows, std::int64_t panel) const {
    if (panel % gradient_span_panels != 0) return;
    const std::int64_t span = panel / gradient_span_panels;
    const Range tokens = tokens_of(expert);
    const float* f = factors_ + span * factor_vectors * tokens_ + tokens.begin;
    const Matrix dy{p_.dy.row(tokens.begin) + rows.begin * static_cast<std::int64_t>(sizeof(Operand)), p_.dy.stride};
    weigh_columns<Operand>(dy, rows.count(), tokens.count(), f, f + tokens_, at(0, panels_ + span, expert, rows.begin),
                           at(1, panels_ + span, expert, rows.begin));
  }
  // Panels of finished rows, up to right_columns of one span.
  void right(std::int64_t expert, Range rows, Range panels, const float* dw) const {
    const std::int64_t column = panels.begin * gradient_width;
    weigh_right(dw, p_.in, rows.count(), std::min(panels.count() * gradient_width, p_.in - column), draws_ + column,
                at(0, panels.begin, expert, rows.begin), at(1, panels.begin, expert, rows.begin));
    for (std::int64_t panel = panels.begin + 1; panel < panels.end; ++panel) {  // the first one's sums are theirs too
      for (const int half : {0, 1}) std::fill_n(at(half, panel, expert, rows.begin), rows.count(), 0.0f);
    }
  }
  void end(Pool& pool) const {
    for (std::int64_t span = 0; span < spans_; ++span) {
      const std::int64_t first = span * gradient_span_panels;
      const std::int64_t end = std::min(panels_, first + gradient_span_panels);
      pool.each(p_.experts, [&](std::int64_t e, int) {
        const Bounds bounds(std::max<std::int64_t>(tokens_of(e).count(), 1), segment,
                            std::min(gradient_span, p_.in - span * gradient_span));
        const float quick = bounds.quick();
        compare_rows(at(0, first, e, 0), at(1, first, e, 0), end - first, rows_, at(0, panels_ + span, e, 0), at(1, panels_ + span, e, 0),
                     p_.out, quick,
                     [&](std::int64_t row, Weighed got, Weighed expected) { second_look(e, row, span, got, expected, bounds); });
      });
    }
    p_.inspection->count(0);
  }

 private:
  [[nodiscard]] Range tokens_of(std::int64_t expert) const {
    return {p_.rows[expert * p_.samples].begin, p_.rows[(expert + 1) * p_.samples - 1].end};
  }
  [[nodiscard]] float* at(int which, std::int64_t column, std::int64_t expert, std::int64_t row) const {
    return weighed_ + (which * (panels_ + spans_) + column) * rows_ + expert * p_.out + row;
  }
  void second_look(std::int64_t e, std::int64_t row, std::int64_t span, Weighed got, Weighed expected, const Bounds& bounds) const {
    const Range tokens = tokens_of(e);
    const float* squares = factors_ + (span * factor_vectors + 2) * tokens_;
    double weight = 0;
    for (std::int64_t t = tokens.begin; t < tokens.end; ++t) {
      const double dy = operand_at<Operand>(p_.dy.row(t), row);
      weight += dy * dy * static_cast<double>(squares[t]);
    }
    const Verdict verdict = judge(got, expected, bounds.of(weight));
    if (verdict.doubtful) p_.inspection->doubt(0, e * p_.out + row, verdict.difference, verdict.bound);
  }

  const Gradients& p_;
  std::int64_t panels_;
  std::int64_t spans_;
  std::int64_t rows_;
  std::int64_t tokens_;
  std::int64_t padded_;
  float* draws_;    // r
  float* factors_;  // [spans][3][tokens]: x_t · r by halves, |x_t|²
  float* weighed_;  // [half][panels, then spans][experts · out]
};

struct GradientsPlan {
  GradientBlocks blocks;
  bool left_in_place = false;
  std::int64_t steps = 0;           // of all groups, at most
  std::int64_t panels_at_once = 0;  // of x, where shared
};

template <typename Chain>
GradientsPlan plan_gradients(const Gradients& p, int threads) {
  GradientsPlan plan;
  const auto in_place = [&](Matrix m, std::int64_t columns, std::int64_t multiple) {
    return sizeof(typename Chain::Operand) == 4 && p.experts == 1 && m.stride <= 1024 && columns % multiple == 0;
  };
  plan.left_in_place = in_place(p.dy, p.out, gradient_rows);
  plan.blocks = choose_gradient_blocks({.experts = p.experts,
                                        .steps = steps_of<Chain>(p.rows.limit) / std::max<std::int64_t>(p.experts, 1),
                                        .out = p.out,
                                        .in = p.in,
                                        .left_in_place = plan.left_in_place,
                                        .right_in_place = in_place(p.x, p.in, lanes)},
                                       threads);
  // An odd number of steps: panels a power of two apart would all lie in the same few sets of the caches while a row is spread over them.
  plan.steps = steps_of<Chain>(p.rows.limit + (Chain::indices_per_step - 1) * p.experts * p.samples) | 1;
  const std::int64_t panels = std::max<std::int64_t>(pieces(p.in, gradient_width), 1);
  const std::int64_t fit = packed_bytes / std::max<std::int64_t>(plan.steps * gradient_width * 4, 1);
  plan.panels_at_once = plan.blocks.packer == Packer::all ? std::clamp<std::int64_t>(fit, 1, panels) : panels;
  return plan;
}

template <typename Chain>
class GradientsRun {
 public:
  GradientsRun(const Gradients& p, int threads, std::byte* workspace) : GradientsRun(p, threads, Carve(workspace)) {}

 private:
  GradientsRun(const Gradients& p, int threads, Carve all) : p_(p), plan_(plan_gradients<Chain>(p, threads)), check_(p, all) {
    if (shared()) shared_ = all.take<float>(plan_.panels_at_once * plan_.steps * gradient_width);
    const std::int64_t left = plan_.left_in_place ? 0 : round_up(plan_.blocks.left, lanes);
    own_floats_ = round_up(plan_.steps * (left + (plan_.blocks.packer == Packer::block ? gradient_width : 0)), lanes);
    own_ = all.take<float>(own_floats_ * threads);
    order_ = all.take<std::int64_t>(p.experts);
    workspace_ = all.used();
  }

 public:
  [[nodiscard]] std::int64_t workspace() const { return workspace_; }

  void run(Pool& pool) const {
    if (!ascending()) {  // no offsets of ours; the places of steps below count on it
      std::fill_n(p_.dw, p_.experts * p_.out * p_.in, 0.0f);
      return;
    }
    aim();
    if (checks()) check_.begin(pool);
    const std::int64_t panels = pieces(p_.in, gradient_width);
    for (std::int64_t j = 0; j < panels; j += plan_.panels_at_once) {
      const Range rights{j, std::min(j + plan_.panels_at_once, panels)};
      if (shared()) pack_shared(pool, rights);
      const std::int64_t down = pieces(p_.out, plan_.blocks.left);
      const std::int64_t across = pieces(rights.count(), plan_.blocks.panels);
      const std::int64_t blocks = p_.experts * down * across;
      order_experts();
      const auto block_of = [&](std::int64_t i) {
        const std::int64_t row = i / across % down * plan_.blocks.left;
        const std::int64_t first = rights.begin + i % across * plan_.blocks.panels;
        return Block{.expert = order_[i / across / down],
                     .rows = {row, std::min(row + plan_.blocks.left, p_.out)},
                     .panels = {first, std::min(first + plan_.blocks.panels, rights.end)}};
      };
      pool.each(blocks, [&](std::int64_t i, int thread) {
        const std::int64_t next = i + pool.threads();  // if all threads are equally fast
        Ahead ahead;
        if (next < blocks) ahead = ahead_of(block_of(next));
        compute(block_of(i), rights, own_ + thread * own_floats_, ahead);
      });
    }
    if (checks()) check_.end(pool);
  }

 private:
  struct Block {
    std::int64_t expert;
    Range rows;  // of dw: columns of dy
    Range panels;
  };
  // An expert's samples: at most `longest` rows each, none behind sample `last`; −1 if none has any.
  struct Samples {
    std::int64_t last;
    std::int64_t longest;
    std::int64_t steps;  // of all
  };

  [[nodiscard]] bool ascending() const {
    for (std::int64_t g = 1; g < p_.experts * p_.samples; ++g) {
      if (p_.rows[g].begin < p_.rows[g - 1].end) return false;
    }
    return true;
  }

  // The largest experts first, so that the threads end together.
  void order_experts() const {
    const auto count = [&](std::int64_t expert) { return group(expert, p_.samples - 1).end - group(expert, 0).begin; };
    std::iota(order_, order_ + p_.experts, std::int64_t{0});
    std::sort(order_, order_ + p_.experts, [&](std::int64_t a, std::int64_t b) { return std::pair(count(b), a) < std::pair(count(a), b); });
  }

  // What a block will pack, asked for a few lines at a time while the one before it is computed.
  [[nodiscard]] Ahead ahead_of(const Block& block) const {
    const Range rows{group(block.expert, 0).begin, group(block.expert, p_.samples - 1).end};
    const auto part = [&](Matrix m, Range columns) {
      constexpr std::int64_t size = sizeof(typename Chain::Operand);
      return Ahead::Part{m.row(rows.begin) + columns.begin * size, m.stride, columns.count() * size, rows.count()};
    };
    Ahead ahead;
    ahead.add(part(p_.dy, block.rows));
    if (!shared()) ahead.add(part(p_.x, {columns_of(block.panels.begin).begin, columns_of(block.panels.end - 1).end}));
    return ahead;
  }

  [[nodiscard]] bool shared() const { return plan_.blocks.packer == Packer::all; }
  [[nodiscard]] Range columns_of(std::int64_t panel) const {
    return {panel * gradient_width, std::min((panel + 1) * gradient_width, p_.in)};
  }
  static std::int64_t padded(Range columns) { return round_up(columns.count(), lanes); }

  [[nodiscard]] Range group(std::int64_t expert, std::int64_t sample) const { return p_.rows[expert * p_.samples + sample]; }

  // Where a sample's steps begin, counted from the expert's first. A group of odd length leaves half a pair empty: one index a group is
  // always enough for it.
  [[nodiscard]] std::int64_t start(std::int64_t expert, std::int64_t sample) const {
    const std::int64_t row = group(expert, sample).begin - group(expert, 0).begin;
    return Chain::indices_per_step == 2 ? (row + sample) / 2 : row;
  }

  [[nodiscard]] Samples samples_of(std::int64_t expert) const {
    Samples samples{-1, 0, 0};
    for (std::int64_t s = 0; s < p_.samples; ++s) {
      const std::int64_t count = group(expert, s).count();
      if (count == 0) continue;
      samples = {s, std::max(samples.longest, count), start(expert, s) + steps_of<Chain>(count)};
    }
    return samples;
  }

  // Panels of x, one after another: [steps][padded(columns)].
  void pack_shared(Pool& pool, Range rights) const {
    pool.each(pieces(p_.rows.limit, gradient_pack_rows), [&](std::int64_t part, int) {
      const Range rows{part * gradient_pack_rows, std::min((part + 1) * gradient_pack_rows, p_.rows.limit)};
      for (std::int64_t s = 0; s < p_.samples; ++s) {
        const Range sample = group(0, s);
        const auto step_of = [&](std::int64_t row) { return steps_of<Chain>(std::clamp(row, sample.begin, sample.end) - sample.begin); };
        const Range steps{step_of(rows.begin), step_of(rows.end)};
        for (std::int64_t panel = rights.begin; panel < rights.end; ++panel) pack_right(0, s, steps, panel, shared_panel(rights, panel));
      }
    });
  }
  [[nodiscard]] float* shared_panel(Range rights, std::int64_t panel) const {
    return shared_ + (panel - rights.begin) * plan_.steps * gradient_width;
  }

  // Steps of a sample into a panel whose expert's step 0 lies at `to`.
  void pack_right(std::int64_t expert, std::int64_t sample, Range steps, std::int64_t panel, float* to) const {
    const Range rows = group(expert, sample);
    const Range columns = columns_of(panel);
    pack_down<Chain>({p_.x.row(rows.begin), p_.x.stride}, rows.count(), columns, steps, to + start(expert, sample) * padded(columns));
  }

  // Columns of dy, left_width side by side: [columns / left_width][steps][left_width].
  void pack_left(const Block& block, std::int64_t all_steps, float* to) const {
    for (std::int64_t s = 0; s < p_.samples; ++s) {
      const Range rows = group(block.expert, s);
      const Matrix dy{p_.dy.row(rows.begin), p_.dy.stride};
      const std::int64_t first = start(block.expert, s);
      for (std::int64_t step = 0; step < steps_of<Chain>(rows.count()); ++step) {
        float* lane = to + (first + step) * left_width;
        for (std::int64_t c = block.rows.begin; c < block.rows.end; c += lanes, lane += 2 * all_steps * left_width) {
          const F32 x = lanes_down<Chain>(dy, c, part(block.rows.end - c), step, rows.count());
          store_halves(lane, lane + all_steps * left_width, x);
        }
      }
    }
  }

  void compute(const Block& block, Range rights, float* own, Ahead& ahead) const {
    const Samples samples = samples_of(block.expert);
    if (samples.last < 0) {
      clear(block);
      for (std::int64_t panel = block.panels.begin; checks() && panel < block.panels.end; ++panel) look_at(block, {panel, panel + 1});
      return;
    }
    // An odd number of steps: panels a power of two apart would all lie in the same few sets of the caches.
    const std::int64_t steps = samples.steps | 1;
    const std::int64_t first_row = group(block.expert, 0).begin;
    if (!plan_.left_in_place) pack_left(block, steps, own);
    float* own_panel = plan_.left_in_place ? own : own + steps * round_up(plan_.blocks.left, lanes);
    const auto left_of = [&](std::int64_t column) -> Steps {
      if (plan_.left_in_place) return {as_f32(p_.dy.row(first_row)) + column, p_.dy.stride / 4};
      column -= block.rows.begin;
      return {own + column / left_width * left_width * steps + column % left_width, left_width};
    };
    const auto right_of = [&](std::int64_t panel) -> Steps {
      const Range columns = columns_of(panel);
      switch (plan_.blocks.packer) {
        case Packer::none:
          return {as_f32(p_.x.row(first_row)) + columns.begin, p_.x.stride / 4};
        case Packer::all:
          return {shared_panel(rights, panel), padded(columns)};
        case Packer::block:
          break;
      }
      for (std::int64_t s = 0; s < p_.samples; ++s) {
        pack_right(block.expert, s, {0, steps_of<Chain>(group(block.expert, s).count())}, panel, own_panel);
      }
      return {own_panel, padded(columns)};
    };
    const std::int64_t leaves = block.panels.count() * pieces(block.rows.count(), gradient_rows) * (samples.last + 1);
    const std::int64_t lines = pieces(ahead.lines(), leaves);
    std::int64_t unseen = block.panels.begin;
    for (std::int64_t panel = block.panels.begin; panel < block.panels.end; ++panel) {
      const Steps right = right_of(panel);
      for (std::int64_t i = block.rows.begin; i < block.rows.end; i += gradient_rows) {
        multiply_tile(block.expert, samples, left_of(i), right, {i, std::min(i + gradient_rows, block.rows.end)}, columns_of(panel),
                      [&] { ahead.fetch(lines); });
      }
      const bool last = panel + 1 == block.panels.end || (panel + 1) % gradient_span_panels == 0 ||
                        (panel + 2 - unseen) * gradient_width > right_columns;
      if (!checks() || !last) continue;
      look_at(block, {unseen, panel + 1});
      unseen = panel + 1;
    }
  }

  [[nodiscard]] bool checks() const { return p_.verify && p_.inspection != nullptr; }
  void look_at(const Block& block, Range panels) const {
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) check_.left(block.expert, block.rows, panel);
    check_.right(block.expert, block.rows, panels, dw(block.expert, block.rows.begin, columns_of(panels.begin).begin));
  }

  // One sum, where the strike hits, if there is one.
  void aim() const {
    strike_ = p_.inspection == nullptr ? nullptr : p_.inspection->strike;
    if (strike_ == nullptr) return;
    Chance chance = strike_->chance;
    std::int64_t filled = 0;
    for (std::int64_t e = 0; e < p_.experts; ++e) filled += samples_of(e).last >= 0;
    if (filled == 0 || p_.out == 0 || p_.in == 0) {
      strike_ = nullptr;
      return;
    }
    std::int64_t which = chance.below(filled);
    for (aimed_.expert = 0; samples_of(aimed_.expert).last < 0 || which-- > 0; ++aimed_.expert) {
    }
    aimed_.row = chance.below(p_.out);
    aimed_.column = chance.below(p_.in);
  }
  [[nodiscard]] double sum_of(std::int64_t expert, std::int64_t row, std::int64_t column) const {
    using Operand = typename Chain::Operand;
    double sum = 0;
    for (std::int64_t s = 0; s < p_.samples; ++s) {
      for (std::int64_t t = group(expert, s).begin; t < group(expert, s).end; ++t)
        sum += operand_at<Operand>(p_.dy.row(t), row) * operand_at<Operand>(p_.x.row(t), column);
    }
    return sum;
  }
  template <typename Sum>
  [[gnu::noinline]] void sum_and_strike(std::int64_t expert, Range rows, Range columns, float* to, const Sum& sum) const {
    const bool hit = aimed_.expert == expert && aimed_.row >= rows.begin && aimed_.row < rows.end && aimed_.column >= columns.begin &&
                     aimed_.column < columns.end && !strike_->done.load();
    if (!hit) return sum();
    const Tile tile{to, p_.in, static_cast<int>(rows.count()), static_cast<int>(columns.count())};
    const auto copy = [&](const float* from) {
      std::vector<float> sums;
      for (int i = 0; i < tile.rows; ++i) sums.insert(sums.end(), from + i * tile.stride, from + i * tile.stride + tile.columns);
      return sums;
    };
    const std::vector<float> missing = copy(to);
    std::vector<float> stale;
    if (columns.begin >= columns.count()) {
      stale = copy(to - columns.count());
    } else if (rows.begin >= rows.count()) {
      stale = copy(to - rows.count() * p_.in);
    }
    sum();
    const std::vector<float> before = copy(to);
    std::vector<float> other;
    if (p_.experts > 1 && strike_->kind == GODWIT_SPOIL_EXPERT) {
      const std::int64_t another = (expert + 1 + aimed_.row % (p_.experts - 1)) % p_.experts;
      for (std::int64_t i = rows.begin; i < rows.end; ++i) {
        for (std::int64_t j = columns.begin; j < columns.end; ++j) other.push_back(static_cast<float>(sum_of(another, i, j)));
      }
    }
    const auto data = [](const std::vector<float>& sums) { return sums.empty() ? nullptr : sums.data(); };
    if (!spoil_tile(tile, *strike_, static_cast<int>(aimed_.row - rows.begin), static_cast<int>(aimed_.column - columns.begin), data(stale),
                    data(missing), data(other)))
      return;
    tell_strike(*strike_, tile, before, expert * p_.out + rows.begin, columns.begin, [&](std::int64_t row) {
      double squares = 0;
      for (std::int64_t j = 0; j < p_.in; ++j) squares += std::pow(sum_of(expert, row - expert * p_.out, j), 2);
      return std::sqrt(squares / static_cast<double>(p_.in));
    });
  }

  [[nodiscard]] float* dw(std::int64_t expert, std::int64_t row, std::int64_t column) const {
    return p_.dw + (expert * p_.out + row) * p_.in + column;
  }
  void clear(const Block& block) const {
    const std::int64_t begin = columns_of(block.panels.begin).begin;
    const std::int64_t end = columns_of(block.panels.end - 1).end;
    for (std::int64_t i = block.rows.begin; i < block.rows.end; ++i) std::fill_n(dw(block.expert, i, begin), end - begin, 0.0f);
  }

  template <typename Meanwhile>
  void multiply_tile(std::int64_t expert, const Samples& samples, Steps left, Steps right, Range rows, Range columns,
                     const Meanwhile& meanwhile) const {
    const auto segment_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(pieces(samples.longest, segment) - 1)));
    const TileShape shape{gradient_rows, static_cast<int>(pieces(columns.count(), lanes))};
    const MultiplySteps kernel = multiply_steps_of<Chain>(shape.vectors);
    const Output root{dw(expert, rows.begin, columns.begin), p_.in, columns.count(), static_cast<int>(rows.count())};
    Tree tree(shape);
    const auto sum = [&] {
      for (std::int64_t s = 0; s <= samples.last; ++s) {
        const std::int64_t count = group(expert, s).count();
        if (count == 0) continue;
        const std::int64_t first = start(expert, s);
        meanwhile();
        sum_segments<Chain>(tree, s << segment_bits, count, s == samples.last ? &root : nullptr,
                            [&](std::int64_t from, std::int64_t steps, const Target& target) {
                              kernel(left.from(first + from), right.from(first + from), steps, target);
                            });
      }
    };
    strike_ == nullptr ? sum() : sum_and_strike(expert, rows, columns, root.to, sum);
  }

  const Gradients& p_;
  GradientsPlan plan_;
  GradientsCheck<Chain> check_;
  mutable const Strike* strike_ = nullptr;
  struct Aimed {
    std::int64_t expert = 0;
    std::int64_t row = 0;
    std::int64_t column = 0;
  };
  mutable Aimed aimed_;
  float* shared_ = nullptr;
  float* own_ = nullptr;
  std::int64_t own_floats_ = 0;  // of a thread
  std::int64_t* order_ = nullptr;
  std::int64_t workspace_ = 0;
};

}  // namespace godwit::cpu::GODWIT_ISA::gemm
