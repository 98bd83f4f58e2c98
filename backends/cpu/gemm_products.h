// C_g = A_g · B_g, k along the rows of A: linear, its gradient by the input, their grouped forms, the absorbed projections.
//
// B is packed into panels of at most `packed_bytes` at a time, or comes packed (a weight), or is read where it is; then blocks of outputs
// go to the threads.
#pragma once

#include <algorithm>

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
};

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
  plan.panel_floats = plan.steps * panel_width;
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
        panel_floats(p.b_packed || plan.in_place ? 0 : plan.panel_floats),
        own_floats((panel_floats + (plan.convert_rows ? plan.blocks.rows * plan.steps : 0) + 15) / 16 * 16),
        own(carve.take<float>(own_floats * threads)) {}

  std::int64_t* first_block;  // of each group, in the present round
  const float* packed;
  std::int64_t panel_floats;
  std::int64_t own_floats;  // per thread: a panel, where none are packed beforehand, then converted rows
  float* own;
};

// One round of products(): panels [begin, end) of all groups' panels in one list.
template <typename Chain>
class ProductsRound {
 public:
  ProductsRound(const Products& p, const ProductsPlan& plan, const ProductsScratch& scratch, Range panels)
      : p_(p), plan_(plan), scratch_(scratch), panels_(panels) {}

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
    std::int64_t step;  // floats from a step to the next
  };
  [[nodiscard]] Panel panel_of(std::int64_t g, std::int64_t panel) const {
    const Range columns = columns_of(panel);
    if (plan_.in_place) return {as_f32(b_of(g).data) + columns.begin, p_.b.stride / 4};
    return {packed_panel(g * plan_.panels + panel), round_up(columns.count(), lanes)};
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
    for (std::int64_t panel = first_panel; panel < std::min(first_panel + per_block, panels.end); ++panel) {
      if (few) {
        multiply_unpacked(g, rows, a, columns_of(panel));
      } else if (shared(g)) {
        // In place a panel's rows lie too far apart to be fetched ahead by the machine; a group's later blocks find them in a cache.
        Ahead ahead;
        if (plan_.in_place && panel + 1 < panels.end && row - all_rows.begin < 2 * plan_.blocks.rows)
          ahead.add(part_of(g, columns_of(panel + 1)));
        multiply_panel(g, rows, a, columns_of(panel), panel_of(g, panel), ahead);
      } else {
        pack(g, panel, {0, plan_.steps}, own);
        multiply_panel(g, rows, a, columns_of(panel), {own, round_up(columns_of(panel).count(), lanes)}, {});
      }
    }
  }

  [[nodiscard]] Output output(std::int64_t g, std::int64_t row, int rows, Range columns) const {
    const std::int64_t at = g * p_.c_group + row * p_.c_stride + columns.begin;
    float* to = p_.c_bf16 ? reinterpret_cast<float*>(reinterpret_cast<std::uint16_t*>(p_.c) + at) : p_.c + at;
    return {to, p_.c_stride, columns.count(), rows, p_.c_bf16};
  }

  static Rows rows_of(Matrix a, std::int64_t first, int count) {
    Rows rows;
    for (int j = 0; j < count; ++j) rows.row[j] = a.row(first + j);
    rows.step = 4;
    return rows;
  }

  void multiply_panel(std::int64_t g, Range rows, Matrix a, Range columns, Panel b, Ahead ahead) const {
    const std::int64_t lines = pieces(ahead.lines(), pieces(rows.count(), tile_rows));
    for (std::int64_t i = 0; i < rows.count(); i += tile_rows) {
      const TileShape shape = tile_shape(rows.count() - i, columns.count());
      const Rows left = rows_of(a, i, shape.rows);
      const Multiply kernel = multiply_of<Chain>(shape);
      const Output c = output(g, rows.begin + i, shape.rows, columns);
      Tree tree(shape);
      ahead.fetch(lines);
      sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
        kernel(left, first, b.data + first * b.step, b.step, steps, target);
      });
    }
  }

  void multiply_unpacked(std::int64_t g, Range rows, Matrix a, Range columns) const {
    const TileShape shape{static_cast<int>(rows.count()), few_vectors};
    const Rows left = rows_of(a, 0, shape.rows);
    const MultiplyFew kernel = multiply_few_of<Chain>(p_.b_layout, shape.rows);
    for (std::int64_t column = columns.begin; column < columns.end; column += shape.width()) {
      const Range part_of{column, std::min(column + shape.width(), columns.end)};
      const Output c = output(g, rows.begin, shape.rows, part_of);
      Tree tree(shape);
      sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
        kernel(left, b_of(g), part_of, p_.k, {first, first + steps}, target);
      });
    }
  }

  const Products& p_;
  const ProductsPlan& plan_;
  const ProductsScratch& scratch_;
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
  for (std::int64_t first = 0; first < panels; first += plan.panels_at_once) {
    ProductsRound<Chain>(p, plan, scratch, {first, std::min(first + plan.panels_at_once, panels)}).run(pool);
  }
}

// b as `products` packs it, all groups' panels one after another: [groups][panels][steps][panel_width]. None if it is read in place.
template <typename Chain>
std::int64_t packed_floats(const Products& p) {
  if (reads_in_place<Chain>(p)) return 0;
  return p.count * pieces(p.n, panel_width) * steps_of<Chain>(p.k) * panel_width;
}

// Weights of a model whose matrices are this large do not stay in a cache from their packing to their use.
inline constexpr std::int64_t streaming_floats = std::int64_t{64} << 10;

// `source` has b's shape; f32 where the chain's operands are bf16 is rounded on the way.
template <typename Chain>
void pack_weight(const Products& p, bool round, Pool& pool, float* to) {
  const std::int64_t panels = pieces(p.n, panel_width);
  const std::int64_t steps = steps_of<Chain>(p.k);
  const std::int64_t parts = std::max<std::int64_t>(pieces(steps, pack_steps), 1);
  const bool down = p.b_layout == Layout::indices_columns;
  const bool large = packed_floats<Chain>(p) >= streaming_floats;
  pool.each(p.count * panels * parts, [&](std::int64_t item, int) {
    const std::int64_t group = item / parts / panels;
    const std::int64_t panel = item / parts % panels;
    const Range columns{panel * panel_width, std::min((panel + 1) * panel_width, p.n)};
    const Range range{item % parts * pack_steps, std::min((item % parts + 1) * pack_steps, steps)};
    float* panel_to = to + (group * panels + panel) * steps * panel_width;
    const Matrix b{p.b.data + group * p.b_group, p.b.stride};
    const auto pack = [&](Matrix m, std::int64_t indices, Range of, Range part_steps, float* place) {
      const auto as = [&]<Written how>() {
        down ? pack_down<Chain, how>(m, indices, of, part_steps, place) : pack_across<Chain, how>(m, indices, of, part_steps, place);
      };
      if (!large) return as.template operator()<Written::cached>();
      as.template operator()<Written::streaming>();
      end_streaming();
    };
    if (!round) return pack(b, p.k, columns, range, panel_to);
    // The part rounded to bf16 first, in cache: it begins with an even index, so pairs stay pairs.
    constexpr std::int64_t most = pack_steps * Chain::indices_per_step;
    alignas(64) std::uint16_t rounded[most * panel_width];
    const Range indices{range.begin * Chain::indices_per_step, std::min(range.end * Chain::indices_per_step, p.k)};
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
  });
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
