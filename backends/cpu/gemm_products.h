// C_g = A_g · B_g, k along the rows of A: linear, its gradient by the input, their grouped forms, the absorbed projections.
//
// B is packed into panels of at most `packed_bytes` at a time, or comes packed (a weight), or is read where it is; then blocks of outputs
// go to the threads.
#pragma once

#include <algorithm>

#include "gemm_blocks.h"
#include "gemm_check.h"
#include "gemm_few.h"
#include "gemm_rows.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

struct Products {
  Matrix a;                  // [rows, k] of group 0
  std::int64_t a_group = 0;  // bytes from one group to the next; 0 where groups are rows of one matrix
  Matrix b;                  // of group 0
  std::int64_t b_group = 0;  // bytes
  Layout b_layout{};
  float* c = nullptr;             // [rows, n] of group 0
  bool c_bf16 = false;            // c is bf16: the finished sums are rounded
  std::int64_t c_stride = 0;      // elements
  std::int64_t c_group = 0;       // elements
  std::int64_t count = 0;         // groups
  std::int64_t typical_rows = 0;  // of a group
  std::int64_t n = 0;
  std::int64_t k = 0;
  Groups rows;
  bool b_packed = false;          // b comes packed, all groups' panels, and `b` itself is not read:
  const float* packed = nullptr;  // here
  bool b_blocks = false;          // as blocks of 8 bits (gemm_blocks.h), where it comes packed
  bool verify = false;
  bool b_checked = false;         // the vectors B is checked with (WeightChecks) were made with its packing:
  const float* checks = nullptr;  // here
  const Inspection* inspection = nullptr;
};

// Where the vectors lie that products with B are checked with: r, then of every group and panel its part of the factors, then of
// every group and span the factors.
struct WeightChecks {
  std::int64_t groups = 0;
  std::int64_t panels = 0;
  std::int64_t spans = 0;
  std::int64_t columns = 0;  // padded
  std::int64_t k = 0;        // padded

  [[nodiscard]] std::int64_t draws() const { return columns; }
  [[nodiscard]] std::int64_t floats() const { return groups == 0 ? 0 : draws() + groups * (panels + spans) * factor_vectors * k; }
  [[nodiscard]] const float* draw(const float* base, std::int64_t column) const { return base + column; }
  [[nodiscard]] float* part(float* base, std::int64_t group, std::int64_t panel) const {
    return base + draws() + (group * panels + panel) * factor_vectors * k;
  }
  [[nodiscard]] float* factors(float* base, std::int64_t group, std::int64_t span) const {
    return base + draws() + (groups * panels + group * spans + span) * factor_vectors * k;
  }
  [[nodiscard]] Factors of(const float* base, std::int64_t group, std::int64_t span) const {
    const float* first = factors(const_cast<float*>(base), group, span);
    return {{first, first + k, first + 2 * k}};
  }
};
inline WeightChecks weight_checks(const Products& p) {
  if (!p.verify) return {};
  return {.groups = p.count,
          .panels = pieces(p.n, panel_width),
          .spans = pieces(p.n, span_columns),
          .columns = round_up(p.n, panel_width),
          .k = padded_factors(p.k)};
}
inline constexpr std::int64_t panels_per_span = span_columns / panel_width;

// A panel's part of the factors: columns of b, `from` the first index of `count`, a multiple of 64.
template <typename Operand>
void weigh_panel(const WeightChecks& checks, float* base, Matrix b, bool down, std::int64_t group, std::int64_t panel, std::int64_t columns,
                 std::int64_t from, std::int64_t count) {
  float* to = checks.part(base, group, panel) + from;
  float* const vectors[3] = {to, to + checks.k, to + 2 * checks.k};
  const float* r = checks.draw(base, panel * panel_width);
  down ? factors_down<Operand>(b, columns, count, r, vectors) : factors_across<Operand>(b, columns, count, r, vectors);
}
inline void join_panels(const WeightChecks& checks, float* base, std::int64_t group, std::int64_t span) {
  const std::int64_t end = std::min(checks.panels, (span + 1) * panels_per_span);
  float* to = checks.factors(base, group, span);
  for (std::int64_t i = 0; i < factor_vectors * checks.k; i += lanes) {
    F32 sum = zero();
    for (std::int64_t panel = span * panels_per_span; panel < end; ++panel) sum = sum + load(checks.part(base, group, panel) + i);
    store(to + i, sum);
  }
}

// Of B where it lies.
template <typename Chain>
void make_checks(const Products& p, Pool& pool, float* base) {
  using Operand = typename Chain::Operand;
  const WeightChecks checks = weight_checks(p);
  draw_vector(p.inspection->draw(0), checks.draws(), base);
  constexpr std::int64_t most = 512;
  const std::int64_t parts = std::max<std::int64_t>(pieces(p.k, most), 1);
  const bool down = p.b_layout == Layout::indices_columns;
  pool.each(checks.groups * checks.panels * parts, [&](std::int64_t item, int) {
    const std::int64_t group = item / parts / checks.panels;
    const std::int64_t panel = item / parts % checks.panels;
    const std::int64_t from = item % parts * most;
    const Matrix b{p.b.data + group * p.b_group, p.b.stride};
    constexpr std::int64_t size = sizeof(Operand);
    const std::byte* first = down ? b.row(from) + panel * panel_width * size : b.row(panel * panel_width) + from * size;
    weigh_panel<Operand>(checks, base, {first, b.stride}, down, group, panel,
                         std::min<std::int64_t>(panel_width, p.n - panel * panel_width), from, std::min(most, p.k - from));
  });
  pool.each(checks.groups * checks.spans, [&](std::int64_t i, int) { join_panels(checks, base, i / checks.spans, i % checks.spans); });
}

// Whether panels of B are read where they are: rows of f32 at most 1 KiB apart stay in L2 as packed ones do.
template <typename Chain>
[[nodiscard]] bool reads_in_place(const Products& p) {
  return sizeof(typename Chain::Operand) == 4 && p.b_layout == Layout::indices_columns && p.b.stride <= 1024 && p.n % lanes == 0;
}

struct ProductsPlan {
  Blocks blocks;
  bool in_place = false;
  std::int64_t panels = 0;  // of one group
  std::int64_t steps = 0;
  bool pairs = false;  // B comes packed in pairs (PanelOf)
  std::int64_t panel_floats = 0;
  std::int64_t panels_at_once = 0;
  bool convert_rows = false;
};

template <typename Chain>
ProductsPlan plan_products(const Products& p, int threads) {
  ProductsPlan plan;
  plan.blocks = choose_blocks({p.count, p.typical_rows, p.n}, threads);
  plan.panels = pieces(p.n, panel_width);
  plan.steps = steps_of<Chain>(p.k);
  plan.pairs = p.b_packed && !p.b_blocks && widens<Chain>;
  plan.panel_floats = (plan.pairs ? steps_of<Pairs>(p.k) : plan.steps) * panel_width;
  const std::int64_t fit = packed_bytes / std::max<std::int64_t>(plan.panel_floats * 4, 1);
  plan.panels_at_once = std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(p.count * plan.panels, 1));
  plan.in_place = !p.b_packed && reads_in_place<Chain>(p);
  if (p.b_packed || plan.in_place) plan.panels_at_once = p.count * plan.panels;
  plan.convert_rows = !lanes_in_place<Chain>(p.k);
  return plan;
}

struct ProductsScratch {
  ProductsScratch(Carve& carve, const ProductsPlan& plan, const Products& p, int threads)
      : first_block(carve.take<std::int64_t>(p.count + 1)),
        packed(p.b_packed ? p.packed : carve.take<float>(plan.in_place ? 0 : plan.panels_at_once * plan.panel_floats)),
        panel_floats(plan.in_place || (p.b_packed && !p.b_blocks && !plan.pairs) ? 0 : plan.steps * panel_width),
        own_floats((panel_floats + (plan.convert_rows ? plan.blocks.rows * plan.steps : 0) + 15) / 16 * 16),
        own(carve.take<float>(own_floats * threads)),
        unrounded(carve.take<float>(p.c_bf16 ? plan.blocks.rows * right_columns * threads : 0)),
        made_checks(carve.take<float>(p.b_checked ? 0 : weight_checks(p).floats())),
        check_rows(p.verify ? (p.rows.offsets == nullptr ? p.count : 1) * p.rows.limit : 0),
        check_columns(plan.panels + pieces(p.n, span_columns)),
        weighed(carve.take<float>(2 * check_rows * check_columns)) {}

  std::int64_t* first_block;  // of each group, in the present round
  const float* packed;
  std::int64_t panel_floats;
  std::int64_t own_floats;  // per thread: a panel, where none are packed beforehand, then converted rows
  float* own;
  float* unrounded;    // per thread: right_columns of sums, where they are rounded and looked at before
  float* made_checks;  // WeightChecks, where they do not come with the weight
  std::int64_t check_rows;
  std::int64_t check_columns;
  float* weighed;  // [half][panels, then spans][rows]: C · r by panel, A · B · r by span
};

// The check of one product: WeightChecks against rows.
template <typename Chain>
class ProductsCheck {
 public:
  using Operand = typename Chain::Operand;
  ProductsCheck(const Products& p, const ProductsPlan& plan, const ProductsScratch& scratch)
      : p_(p), plan_(plan), scratch_(scratch), checks_(weight_checks(p)), base_(p.b_checked ? p.checks : scratch.made_checks) {}

  // Nothing is weighed yet: what never will be stays NaN.
  void begin(Pool& pool) {
    if (!p_.b_checked) make_checks<Chain>(p_, pool, scratch_.made_checks);
    std::memset(scratch_.weighed, 0xFF, static_cast<std::size_t>(2 * scratch_.check_rows * scratch_.check_columns) * sizeof(float));
  }
  // Rows of A against the span that begins with this panel, if one does.
  void left(std::int64_t g, Range rows, std::int64_t panel) const {
    if (panel % panels_per_span != 0) return;
    const std::int64_t span = panel / panels_per_span;
    const Matrix a{p_.a.data + g * p_.a_group + rows.begin * p_.a.stride, p_.a.stride};
    weigh_left<Operand>(a, rows.count(), p_.k, checks_.of(base_, g, span), at(0, plan_.panels + span, g, rows.begin),
                        at(1, plan_.panels + span, g, rows.begin));
  }
  // Panels of finished rows, up to right_columns of one span, as stored.
  void right(std::int64_t g, Range rows, Range panels, const float* c, std::int64_t stride, std::int64_t columns) const {
    weigh_right(c, stride, rows.count(), columns, checks_.draw(base_, panels.begin * panel_width), at(0, panels.begin, g, rows.begin),
                at(1, panels.begin, g, rows.begin));
    for (std::int64_t panel = panels.begin + 1; panel < panels.end; ++panel) {  // the first one's sums are theirs too
      for (const int half : {0, 1}) std::fill_n(at(half, panel, g, rows.begin), rows.count(), 0.0f);
    }
  }
  void end(Pool& pool) const {
    for (std::int64_t span = 0; span < checks_.spans; ++span) {
      const std::int64_t first = span * panels_per_span;
      const std::int64_t end = std::min(checks_.panels, first + panels_per_span);
      const Bounds bounds(p_.k, segment, std::min(span_columns, p_.n - span * span_columns));
      const float quick = bounds.quick();
      const auto compare = [&](std::int64_t g, Range rows) {
        compare_rows(at(0, first, g, rows.begin), at(1, first, g, rows.begin), end - first, scratch_.check_rows,
                     at(0, plan_.panels + span, g, rows.begin), at(1, plan_.panels + span, g, rows.begin), rows.count(), quick,
                     [&](std::int64_t i, Weighed got, Weighed expected) { second_look(g, rows.begin + i, span, got, expected, bounds); });
      };
      const std::int64_t parts = pieces(p_.rows.limit, compared_rows);
      pool.ranges(p_.count * parts, 8, [&](std::int64_t begin, std::int64_t end_of, int) {
        for (std::int64_t i = begin; i < end_of; ++i) {
          const Range all = p_.rows[i / parts];
          const Range rows{all.begin + i % parts * compared_rows, std::min(all.begin + (i % parts + 1) * compared_rows, all.end)};
          if (rows.count() > 0) compare(i / parts, rows);
        }
      });
    }
    p_.inspection->count(0);
  }

 private:
  static constexpr std::int64_t compared_rows = 256;  // at once, by one thread

  [[nodiscard]] float* at(int which, std::int64_t column, std::int64_t g, std::int64_t row) const {
    const std::int64_t i = p_.rows.offsets == nullptr ? g * p_.rows.limit + row : row;
    return scratch_.weighed + (which * scratch_.check_columns + column) * scratch_.check_rows + i;
  }
  void second_look(std::int64_t g, std::int64_t row, std::int64_t span, Weighed got, Weighed expected, const Bounds& bounds) const {
    const double weight = weight_of_row<Operand>(p_.a.data + g * p_.a_group + row * p_.a.stride, p_.k, checks_.of(base_, g, span));
    const Verdict verdict = judge(got, expected, bounds.of(weight));
    if (verdict.doubtful) p_.inspection->doubt(0, row, verdict.difference, verdict.bound);
  }

  const Products& p_;
  const ProductsPlan& plan_;
  const ProductsScratch& scratch_;
  WeightChecks checks_;
  const float* base_;
};

// Where a strike hits a product, by one sum of it.
struct Aim {
  const Strike* strike = nullptr;
  std::int64_t group = 0;
  std::int64_t row = 0;
  std::int64_t column = 0;

  [[nodiscard]] bool hits(std::int64_t g, Range rows, Range columns) const {
    return group == g && row >= rows.begin && row < rows.end && column >= columns.begin && column < columns.end && !strike->done.load();
  }
};
inline Aim aim_of(const Products& p) {
  Aim aim;
  const Strike* strike = p.inspection == nullptr ? nullptr : p.inspection->strike;
  if (strike == nullptr || p.n == 0) return aim;
  Chance chance = strike->chance;
  std::int64_t all = 0;
  for (std::int64_t g = 0; g < p.count; ++g) all += p.rows[g].count();
  if (all == 0) return aim;
  std::int64_t row = chance.below(all);
  while (row >= p.rows[aim.group].count()) row -= p.rows[aim.group++].count();
  aim.row = p.rows[aim.group].begin + row;
  aim.column = chance.below(p.n);
  aim.strike = strike;
  return aim;
}

// One round of products(): panels [begin, end) of all groups' panels in one list.
template <typename Chain>
class ProductsRound {
 public:
  ProductsRound(const Products& p, const ProductsPlan& plan, const ProductsScratch& scratch, const ProductsCheck<Chain>* check,
                const Aim* aim, Range panels)
      : p_(p), plan_(plan), scratch_(scratch), check_(check), aim_(aim), panels_(panels) {}

  void run(Pool& pool) {
    std::int64_t blocks = 0;
    bool any_shared = false;
    for (std::int64_t g = 0; g < p_.count; ++g) {
      scratch_.first_block[g] = blocks;
      any_shared = any_shared || (shared(g) && panels_of(g).count() > 0);
      blocks += pieces(p_.rows[g].count(), plan_.blocks.rows) * pieces(panels_of(g).count(), panels_per_block(g));
    }
    scratch_.first_block[p_.count] = blocks;
    if (any_shared && !ready()) {
      const std::int64_t parts = std::max<std::int64_t>(pieces(plan_.steps, pack_steps), 1);
      pool.each(panels_.count() * parts, [&](std::int64_t i, int) {
        const std::int64_t panel = panels_.begin + i / parts;
        const std::int64_t from = i % parts * pack_steps;
        if (!shared(panel / plan_.panels)) return;
        pack(panel / plan_.panels, panel % plan_.panels, {from, std::min(from + pack_steps, plan_.steps)},
             const_cast<float*>(packed_panel(panel)));
      });
    }
    pool.each(blocks, [&](std::int64_t block, int thread) { compute(block, thread); });
  }

 private:
  // No panel need be packed.
  [[nodiscard]] bool ready() const { return p_.b_packed || plan_.in_place; }
  // A group of a single block of rows uses a panel once: the thread that does packs it for itself.
  [[nodiscard]] bool shared(std::int64_t g) const { return ready() || p_.rows[g].count() > plan_.blocks.rows; }
  [[nodiscard]] std::int64_t panels_per_block(std::int64_t g) const { return shared(g) ? plan_.blocks.panels : 1; }
  [[nodiscard]] Range panels_of(std::int64_t g) const {
    const std::int64_t first = g * plan_.panels;
    const std::int64_t begin = std::clamp<std::int64_t>(panels_.begin - first, 0, plan_.panels);
    return {begin, std::clamp<std::int64_t>(panels_.end - first, begin, plan_.panels)};
  }
  struct Panel {
    const float* data;
    std::int64_t step;  // floats from a step, or a pair, to the next
    bool pairs = false;
  };
  [[nodiscard]] Panel panel_of(std::int64_t g, std::int64_t panel) const {
    const Range columns = columns_of(panel);
    if (plan_.in_place) return {as_f32(b_of(g).data) + columns.begin, p_.b.stride / 4};
    return {packed_panel(g * plan_.panels + panel), round_up(columns.count(), lanes), plan_.pairs};
  }
  [[nodiscard]] Ahead::Part part_of(std::int64_t g, Range columns) const {
    return {b_of(g).data + columns.begin * 4, p_.b.stride, columns.count() * 4, p_.k};
  }
  [[nodiscard]] const float* packed_panel(std::int64_t panel) const {
    return scratch_.packed + (panel - panels_.begin) * plan_.panel_floats;
  }
  [[nodiscard]] Range columns_of(std::int64_t panel) const { return {panel * panel_width, std::min((panel + 1) * panel_width, p_.n)}; }

  [[nodiscard]] Matrix b_of(std::int64_t g) const { return {p_.b.data + g * p_.b_group, p_.b.stride}; }

  void pack(std::int64_t g, std::int64_t panel, Range steps, float* to) const {
    if (p_.b_layout == Layout::indices_columns) {
      pack_down<Chain>(b_of(g), p_.k, columns_of(panel), steps, to);
    } else {
      pack_across<Chain>(b_of(g), p_.k, columns_of(panel), steps, to);
    }
  }

  [[nodiscard]] std::int64_t group_of(std::int64_t block) const {  // the last whose first block is not behind it
    std::int64_t low = 0;
    std::int64_t high = p_.count;
    while (high - low > 1) {
      const std::int64_t middle = (low + high) / 2;
      (scratch_.first_block[middle] <= block ? low : high) = middle;
    }
    return low;
  }

  void compute(std::int64_t block, int thread) const {
    const std::int64_t g = group_of(block);
    const std::int64_t per_block = panels_per_block(g);
    const Range panels = panels_of(g);
    const std::int64_t across = pieces(panels.count(), per_block);
    const std::int64_t in_group = block - scratch_.first_block[g];
    const Range all_rows = p_.rows[g];
    const std::int64_t row = all_rows.begin + in_group / across * plan_.blocks.rows;
    const Range rows{row, std::min(row + plan_.blocks.rows, all_rows.end)};
    const std::int64_t first_panel = panels.begin + in_group % across * per_block;

    float* own = scratch_.own + thread * scratch_.own_floats;
    Matrix a{p_.a.data + g * p_.a_group + rows.begin * p_.a.stride, p_.a.stride};
    if (plan_.convert_rows) {
      float* converted = own + scratch_.panel_floats;
      for (std::int64_t i = 0; i < rows.count(); ++i) pack_row<Chain>(a.row(i), p_.k, converted + i * plan_.steps);
      a = {reinterpret_cast<const std::byte*>(converted), plan_.steps * 4};
    }
    const bool few = !p_.b_packed && all_rows.count() <= few_rows;
    Block at{g, rows, a, first_panel, inspected() && p_.c_bf16 ? scratch_.unrounded + thread * plan_.blocks.rows * right_columns : nullptr};
    const std::int64_t end = std::min(first_panel + per_block, panels.end);
    std::int64_t made = 1;
    for (std::int64_t panel = first_panel; panel < end; panel += made) {
      if (p_.b_blocks) {
        made = multiply_held(at, {panel, end}, own);
      } else if (few) {
        multiply_unpacked(at, columns_of(panel));
      } else if (plan_.pairs && rows.count() > tile_rows) {
        const Panel held = panel_of(g, panel);
        widen_pairs(held.data, held.step, plan_.steps, own);
        multiply_panel(at, columns_of(panel), {own, held.step}, {});
      } else if (shared(g)) {
        // In place a panel's rows lie too far apart to be fetched ahead by the machine; a group's later blocks find them in a cache.
        Ahead ahead;
        if (plan_.in_place && panel + 1 < panels.end && row - all_rows.begin < 2 * plan_.blocks.rows)
          ahead.add(part_of(g, columns_of(panel + 1)));
        multiply_panel(at, columns_of(panel), panel_of(g, panel), ahead);
      } else {
        pack(g, panel, {0, plan_.steps}, own);
        multiply_panel(at, columns_of(panel), {own, round_up(columns_of(panel).count(), lanes)}, {});
      }
      if (check_ != nullptr) check_->left(g, rows, panel);  // rows that multiplying brought into a cache
      const bool last = panel + 1 == end || (panel + 1) % panels_per_span == 0 || panel + 1 - at.unseen == right_columns / panel_width;
      if (!inspected() || !last) continue;
      look_at(at, {at.unseen, panel + 1});
      at.unseen = panel + 1;
    }
  }

  // Rows of one group, as one thread makes them.
  struct Block {
    std::int64_t group;
    Range rows;
    Matrix a;
    std::int64_t unseen;  // the first panel that is made but not looked at
    float* unrounded;     // sums go here first, until they are looked at: [rows][right_columns]
  };

  [[nodiscard]] bool inspected() const { return check_ != nullptr || aim_ != nullptr; }

  [[nodiscard]] Output output(const Block& block, std::int64_t row, int rows, Range columns) const {
    if (block.unrounded != nullptr) {
      float* to = block.unrounded + (row - block.rows.begin) * right_columns + columns.begin - block.unseen * panel_width;
      return {to, right_columns, columns.count(), rows, false};
    }
    const std::int64_t at = block.group * p_.c_group + row * p_.c_stride + columns.begin;
    float* to = p_.c_bf16 ? reinterpret_cast<float*>(reinterpret_cast<std::uint16_t*>(p_.c) + at) : p_.c + at;
    return {to, p_.c_stride, columns.count(), rows, p_.c_bf16};
  }

  // Checks what was stored, and rounds what waits for that.
  void look_at(const Block& block, Range panels) const {
    const Range columns{columns_of(panels.begin).begin, columns_of(panels.end - 1).end};
    const Output c = output(block, block.rows.begin, 0, columns);
    if (check_ != nullptr) check_->right(block.group, block.rows, panels, c.to, c.stride, columns.count());
    if (block.unrounded == nullptr) return;
    auto* to = reinterpret_cast<std::uint16_t*>(p_.c) + block.group * p_.c_group + block.rows.begin * p_.c_stride + columns.begin;
    for (std::int64_t i = 0; i < block.rows.count(); ++i, to += p_.c_stride) {
      const float* from = block.unrounded + i * right_columns;
      for (std::int64_t j = 0; j < columns.count(); j += lanes) {
        const int n = part(columns.count() - j);
        n == lanes ? store_bf16(to + j, load(from + j)) : store_bf16_first(to + j, load_first(from + j, n), n);
      }
    }
  }

  static Rows rows_of(Matrix a, std::int64_t first, int count) {
    Rows rows;
    for (int j = 0; j < count; ++j) rows.row[j] = a.row(first + j);
    rows.step = 4;
    return rows;
  }

  void multiply_panel(const Block& block, Range columns, Panel b, Ahead ahead) const {
    const std::int64_t count = block.rows.count();
    const std::int64_t lines = pieces(ahead.lines(), pieces(count, tile_rows));
    for (std::int64_t i = 0; i < count; i += tile_rows) {
      const TileShape shape = tile_shape(count - i, columns.count());
      const Rows left = rows_of(block.a, i, shape.rows);
      const Multiply kernel = multiply_of<Chain>(shape, b.pairs);
      const Output c = output(block, block.rows.begin + i, shape.rows, columns);
      Tree tree(shape);
      ahead.fetch(lines);
      const auto sum = [&] {
        sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
          kernel(left, first, b.data + (b.pairs ? first / 2 : first) * b.step, b.step, steps, target);
        });
      };
      aim_ == nullptr ? sum() : sum_and_strike(block, {block.rows.begin + i, block.rows.begin + i + shape.rows}, columns, c, sum);
    }
  }

  [[nodiscard]] const std::byte* blocks_of(std::int64_t g, std::int64_t panel) const {
    return reinterpret_cast<const std::byte*>(scratch_.packed) + (g * plan_.panels + panel) * blocks_bytes(p_.k);
  }
  // By blocks of 8 bits, and how many panels that was: as many rows as a tile has turn them in registers, more have a panel made for them.
  [[nodiscard]] std::int64_t multiply_held(const Block& block, Range panels, float* own) const {
    const auto rows = static_cast<int>(std::min<std::int64_t>(block.rows.count(), tile_rows + 1));
    if (rows > tile_rows) {
      unpack_blocks<Chain>(blocks_of(block.group, panels.begin), plan_.steps, own);
      multiply_panel(block, columns_of(panels.begin), {own, panel_width}, {});
      return 1;
    }
    // What is looked at is looked at panel by panel.
    const auto together = inspected() ? 1 : static_cast<int>(std::min<std::int64_t>(panels.count(), panels_together(rows)));
    const Range columns{columns_of(panels.begin).begin, columns_of(panels.begin + together - 1).end};
    const TileShape shape{rows, together * tile_vectors};
    const Rows left = rows_of(block.a, 0, rows);
    const MultiplyBlocks kernel = multiply_blocks_of<Chain>(rows, together);
    const Output c = output(block, block.rows.begin, rows, columns);
    Tree tree(shape);
    const auto sum = [&] {
      sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
        kernel(left, first, blocks_of(block.group, panels.begin), blocks_bytes(p_.k), steps, target);
      });
    };
    aim_ == nullptr ? sum() : sum_and_strike(block, block.rows, columns, c, sum);
    return together;
  }

  void multiply_unpacked(const Block& block, Range columns) const {
    const TileShape shape{static_cast<int>(block.rows.count()), few_vectors};
    const Rows left = rows_of(block.a, 0, shape.rows);
    const MultiplyFew kernel = multiply_few_of<Chain>(p_.b_layout, shape.rows);
    for (std::int64_t column = columns.begin; column < columns.end; column += shape.width()) {
      const Range part_of{column, std::min(column + shape.width(), columns.end)};
      const Output c = output(block, block.rows.begin, shape.rows, part_of);
      Tree tree(shape);
      const auto sum = [&] {
        sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
          kernel(left, b_of(block.group), part_of, p_.k, {first, first + steps}, target);
        });
      };
      aim_ == nullptr ? sum() : sum_and_strike(block, block.rows, part_of, c, sum);
    }
  }

  // A sum in double, of B as it lies or is packed.
  [[nodiscard]] double b_at(std::int64_t g, std::int64_t k, std::int64_t column) const {
    using Operand = typename Chain::Operand;
    if (!p_.b_packed) {
      const bool down = p_.b_layout == Layout::indices_columns;
      return operand_at<Operand>(b_of(g).row(down ? k : column), down ? column : k);
    }
    const std::int64_t panel = column / panel_width;
    if (p_.b_blocks) {
      const std::byte* held = blocks_of(g, panel) + k / mxint8::block_length * block_bytes + column % panel_width;
      const auto number = static_cast<std::int8_t>(held[(1 + row_of_index<Chain>(k, p_.k)) * panel_width]);
      return static_cast<double>(number) * mxint8::Block::scale_of(static_cast<std::uint8_t>(*held));
    }
    const std::int64_t width = round_up(columns_of(panel).count(), lanes);
    constexpr bool pairs = PanelOf<Chain>::indices_per_step == 2;
    const std::int64_t step = pairs ? k / 2 : k;
    const auto word = std::bit_cast<std::uint32_t>(packed_panel(g * plan_.panels + panel)[step * width + column % panel_width]);
    if constexpr (pairs) return std::bit_cast<float>(k % 2 == 0 ? word << 16 : word & 0xFFFF0000u);
    return std::bit_cast<float>(word);
  }
  [[nodiscard]] double sum_of(std::int64_t g, std::int64_t weight, std::int64_t row, std::int64_t column) const {
    double sum = 0;
    for (std::int64_t k = 0; k < p_.k; ++k)
      sum += operand_at<typename Chain::Operand>(p_.a.data + g * p_.a_group + row * p_.a.stride, k) * b_at(weight, k, column);
    return sum;
  }

  // Sums one tile and spoils it where the strike is aimed at it.
  template <typename Sum>
  [[gnu::noinline]] void sum_and_strike(const Block& block, Range rows, Range columns, const Output& c, const Sum& sum) const {
    if (!aim_->hits(block.group, rows, columns)) return sum();
    const Tile tile{c.to, c.stride, static_cast<int>(rows.count()), static_cast<int>(columns.count())};
    const auto copy = [&](const float* from, std::int64_t stride) {
      std::vector<float> sums;
      for (int i = 0; i < tile.rows; ++i) sums.insert(sums.end(), from + i * stride, from + i * stride + tile.columns);
      return sums;
    };
    const std::vector<float> missing = copy(c.to, c.stride);
    std::vector<float> stale;
    // The tile before: the rows above, or the columns to the left, if this block has them.
    if (rows.begin - tile.rows >= block.rows.begin) {
      stale = copy(c.to - tile.rows * c.stride, c.stride);
    } else if (block.unrounded == nullptr && columns.begin >= columns.count()) {
      stale = copy(c.to - columns.count(), c.stride);
    }
    sum();
    const std::vector<float> before = copy(c.to, c.stride);
    std::vector<float> other;
    if (p_.count > 1 && aim_->strike->kind == GODWIT_SPOIL_EXPERT) {
      const std::int64_t weight = (block.group + 1 + static_cast<std::int64_t>(aim_->row) % (p_.count - 1)) % p_.count;
      const bool reachable = !p_.b_packed || weight * plan_.panels >= panels_.begin;
      for (std::int64_t row = rows.begin; row < rows.end && reachable; ++row) {
        for (std::int64_t j = columns.begin; j < columns.end; ++j) other.push_back(static_cast<float>(sum_of(block.group, weight, row, j)));
      }
    }
    const auto data = [](const std::vector<float>& sums) { return sums.empty() ? nullptr : sums.data(); };
    if (!spoil_tile(tile, *aim_->strike, static_cast<int>(aim_->row - rows.begin), static_cast<int>(aim_->column - columns.begin),
                    data(stale), data(missing), data(other)))
      return;
    tell_strike(*aim_->strike, tile, before, rows.begin, columns.begin, [&](std::int64_t row) {
      double squares = 0;
      for (std::int64_t j = 0; j < p_.n; ++j) squares += std::pow(sum_of(block.group, block.group, row, j), 2);
      return std::sqrt(squares / static_cast<double>(p_.n));
    });
  }

  const Products& p_;
  const ProductsPlan& plan_;
  const ProductsScratch& scratch_;
  const ProductsCheck<Chain>* check_;
  const Aim* aim_;
  Range panels_;
};

template <typename Chain>
std::int64_t products_workspace(const Products& p, int threads) {
  const ProductsPlan plan = plan_products<Chain>(p, threads);
  Carve counter(nullptr);
  const ProductsScratch scratch(counter, plan, p, threads);
  return counter.used();
}

template <typename Chain>
void products(const Products& p, Pool& pool, std::byte* workspace) {
  const ProductsPlan plan = plan_products<Chain>(p, pool.threads());
  Carve all(workspace);
  const ProductsScratch scratch(all, plan, p, pool.threads());
  const std::int64_t panels = p.count * plan.panels;
  ProductsCheck<Chain> check(p, plan, scratch);
  const bool checked = p.verify && p.inspection != nullptr;
  const Aim aim = aim_of(p);
  if (checked) check.begin(pool);
  for (std::int64_t first = 0; first < panels; first += plan.panels_at_once) {
    const Range round{first, std::min(first + plan.panels_at_once, panels)};
    ProductsRound<Chain>(p, plan, scratch, checked ? &check : nullptr, aim.strike == nullptr ? nullptr : &aim, round).run(pool);
  }
  if (checked) check.end(pool);
}

// b as `products` packs it, all groups' panels one after another: [groups][panels][steps of PanelOf][panel_width], or panels of blocks.
// None if it is read in place.
template <typename Chain>
std::int64_t packed_floats(const Products& p) {
  if (p.b_blocks) return round_up(p.count * pieces(p.n, panel_width) * blocks_bytes(p.k) / 4, lanes);
  if (reads_in_place<Chain>(p)) return 0;
  return p.count * pieces(p.n, panel_width) * steps_of<PanelOf<Chain>>(p.k) * panel_width;
}

// Weights of a model whose matrices are this large do not stay in a cache from their packing to their use.
inline constexpr std::int64_t streaming_floats = std::int64_t{64} << 10;

// `source` has b's shape; f32 where the chain's operands are bf16 is rounded on the way.
template <typename Chain>
void pack_weight(const Products& p, bool round, Pool& pool, float* to) {
  using Panel = PanelOf<Chain>;
  const std::int64_t panels = pieces(p.n, panel_width);
  const std::int64_t steps = steps_of<Panel>(p.k);
  const std::int64_t parts = std::max<std::int64_t>(pieces(steps, pack_steps), 1);
  const bool down = p.b_layout == Layout::indices_columns;
  const std::int64_t floats = packed_floats<Chain>(p);
  const bool large = floats >= streaming_floats;
  const bool in_place = floats == 0;
  const WeightChecks checks = weight_checks(p);
  float* base = to + floats;
  if (p.verify) draw_vector(p.inspection->draw(0), checks.draws(), base);
  pool.each(p.count * panels * parts, [&](std::int64_t item, int) {
    const std::int64_t group = item / parts / panels;
    const std::int64_t panel = item / parts % panels;
    const Range columns{panel * panel_width, std::min((panel + 1) * panel_width, p.n)};
    const Range range{item % parts * pack_steps, std::min((item % parts + 1) * pack_steps, steps)};
    float* panel_to = to + (group * panels + panel) * steps * panel_width;
    const Matrix b{p.b.data + group * p.b_group, p.b.stride};
    const Range indices{range.begin * Panel::indices_per_step, std::min(range.end * Panel::indices_per_step, p.k)};
    const auto weigh = [&](Matrix part_of) {
      if (!p.verify) return;
      weigh_panel<typename Chain::Operand>(checks, base, part_of, down, group, panel, columns.count(), indices.begin, indices.count());
    };
    const auto pack = [&](Matrix m, std::int64_t all_indices, Range of, Range part_steps, float* place) {
      if (in_place) return;
      const auto as = [&]<Written how>() {
        down ? pack_down<Panel, how>(m, all_indices, of, part_steps, place)
             : pack_across<Panel, how>(m, all_indices, of, part_steps, place);
      };
      if (!large) return as.template operator()<Written::cached>();
      as.template operator()<Written::streaming>();
      end_streaming();
    };
    if (!round) {
      pack(b, p.k, columns, range, panel_to);
      constexpr std::int64_t size = sizeof(typename Chain::Operand);
      return weigh({down ? b.row(indices.begin) + columns.begin * size : b.row(columns.begin) + indices.begin * size, b.stride});
    }
    // The part rounded to bf16 first, in cache: it begins with an even index, so pairs stay pairs.
    constexpr std::int64_t most = pack_steps * Panel::indices_per_step;
    alignas(64) std::uint16_t rounded[most * panel_width];
    const std::int64_t rows = down ? indices.count() : columns.count();
    const std::int64_t width = down ? columns.count() : indices.count();
    const std::int64_t stride = down ? panel_width : most;
    const Matrix from{b.row(down ? indices.begin : columns.begin) + (down ? columns.begin : indices.begin) * 4, b.stride};
    for (std::int64_t i = 0; i < rows; ++i) {
      const float* row = as_f32(from.row(i));
      std::int64_t j = 0;
      for (; j + lanes <= width; j += lanes) store_bf16(rounded + i * stride + j, load(row + j));
      if (j < width)
        store_bf16_first(rounded + i * stride + j, load_first(row + j, static_cast<int>(width - j)), static_cast<int>(width - j));
    }
    pack({reinterpret_cast<const std::byte*>(rounded), stride * 2}, indices.count(), {0, columns.count()}, {0, range.count()},
         panel_to + range.begin * pieces(columns.count(), lanes) * lanes);
    weigh({reinterpret_cast<const std::byte*>(rounded), stride * 2});
  });
  if (p.verify) {
    pool.each(checks.groups * checks.spans, [&](std::int64_t i, int) { join_panels(checks, base, i / checks.spans, i % checks.spans); });
  }
}

// The same as blocks of 8 bits; `source` is f32, its indices along memory.
template <typename Chain>
void pack_weight_as_blocks(const Products& p, Pool& pool, float* to) {
  using Operand = typename Chain::Operand;
  const std::int64_t panels = pieces(p.n, panel_width);
  constexpr std::int64_t most = 512;  // indices at once
  const std::int64_t parts = std::max<std::int64_t>(pieces(p.k, most), 1);
  const WeightChecks checks = weight_checks(p);
  float* base = to + packed_floats<Chain>(p);
  if (p.verify) draw_vector(p.inspection->draw(0), checks.draws(), base);
  pool.each(p.count * panels * parts, [&](std::int64_t item, int) {
    const std::int64_t group = item / parts / panels;
    const std::int64_t panel = item / parts % panels;
    const Range columns{panel * panel_width, std::min((panel + 1) * panel_width, p.n)};
    const Range indices{item % parts * most, std::min((item % parts + 1) * most, p.k)};
    const Range blocks{indices.begin / mxint8::block_length, pieces(indices.end, mxint8::block_length)};
    std::byte* panel_to = reinterpret_cast<std::byte*>(to) + (group * panels + panel) * blocks_bytes(p.k);
    alignas(64) Operand values[panel_width * most];
    pack_blocks<Chain>({p.b.data + group * p.b_group, p.b.stride}, p.k, columns, blocks, panel_to,
                       [&](std::int64_t column, std::int64_t index, std::int64_t count, const mxint8::Block& block) {
                         if (!p.verify) return;
                         Operand* row = values + column * most + index - indices.begin;
                         for (std::int64_t i = 0; i < count; ++i) {
                           const float value = block.value(i);
                           if constexpr (sizeof(Operand) == 2) {
                             row[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
                           } else {
                             row[i] = value;
                           }
                         }
                       });
    if (p.verify) {
      weigh_panel<Operand>(checks, base, {reinterpret_cast<const std::byte*>(values), most * static_cast<std::int64_t>(sizeof(Operand))},
                           false, group, panel, columns.count(), indices.begin, indices.count());
    }
  });
  if (p.verify) {
    pool.each(checks.groups * checks.spans, [&](std::int64_t i, int) { join_panels(checks, base, i / checks.spans, i % checks.spans); });
  }
}

// Zeros in the rows of c [limit, n] that belong to no group.
inline void clear_unused(const Products& p, Pool& pool) {
  const Range used{p.rows[0].begin, p.rows[p.count - 1].end};
  const auto clear = [&](Range rows) {
    pool.ranges(rows.count(), 64, [&](std::int64_t begin, std::int64_t end, int) {
      std::memset(p.c + (rows.begin + begin) * p.c_stride, 0, static_cast<std::size_t>((end - begin) * p.c_stride) * sizeof(float));
    });
  };
  clear({0, used.begin});
  clear({std::max(used.begin, used.end), p.rows.limit});
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
