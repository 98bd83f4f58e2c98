// The two families of matrix products, with the bits of docs/arithmetic.md (DOT and TOKENS DOT):
//
//   products   C_g = A_g · B_g, k along the rows of A: linear, its gradient by the input, their grouped forms, the absorbed projections
//   gradients  dw_e = Σ_samples dyᵀ · x, k down the rows: linear's gradient by the weight and its grouped form
//
// Both pack the right operand into panels of at most `packed_bytes` at a time, then give blocks of outputs to the threads; no sum is shared
// between threads. Rows and groups that no offset names are never read.
#pragma once

#include <algorithm>

#include "gemm_few.h"
#include "gemm_plan.h"
#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// What is packed together should stay in a shared cache, and must not need as much memory as a vocabulary's weights.
inline constexpr std::int64_t packed_bytes = std::int64_t{32} << 20;
inline constexpr std::int64_t pack_steps = 256;  // of one panel by one thread

// Groups of consecutive rows by ascending offsets, `stride` offsets to a group. Offsets are data: whatever they hold, no row outside [0,
// limit) is named.
struct Groups {
  const std::int32_t* offsets = nullptr;  // null: every group is all rows
  std::int64_t stride = 1;
  std::int64_t limit = 0;

  [[nodiscard]] Range operator[](std::int64_t group) const {
    if (offsets == nullptr) return {0, limit};
    const std::int64_t begin = std::clamp<std::int64_t>(offsets[group * stride], 0, limit);
    return {begin, std::clamp<std::int64_t>(offsets[(group + 1) * stride], begin, limit)};
  }
};

template <typename Body>
auto with_chain(const View& operand, const Body& body) {
  return operand.bf16() ? body(Bf16Chain{}) : body(F32Chain{});
}

// Hands out the workspace piece by piece; with a null base it only counts.
class Pieces {
 public:
  explicit Pieces(std::byte* base) : base_(base) {}

  template <typename T>
  T* take(std::int64_t count) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (count * static_cast<std::int64_t>(sizeof(T)) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  [[nodiscard]] std::int64_t used() const { return used_; }

 private:
  std::byte* base_;
  std::int64_t used_ = 0;
};

inline TileShape tile_shape(std::int64_t rows, std::int64_t columns) {
  return {static_cast<int>(std::min<std::int64_t>(rows, tile_rows)),
          static_cast<int>(std::min<std::int64_t>(pieces(columns, lanes), tile_vectors))};
}

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
  const float* packed = nullptr;  // all groups' panels of b, packed beforehand; null: b is packed as it is used
};

struct ProductsPlan {
  Blocks blocks;
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
  if (p.packed != nullptr) plan.panels_at_once = p.count * plan.panels;
  plan.convert_rows = !lanes_in_place<Chain>(p.k);
  return plan;
}

struct ProductsScratch {
  ProductsScratch(Pieces& pieces_of, const ProductsPlan& plan, const Products& p, int threads)
      : first_block(pieces_of.take<std::int64_t>(p.count + 1)),
        packed(p.packed != nullptr ? p.packed : pieces_of.take<float>(plan.panels_at_once * plan.panel_floats)),
        panel_floats(p.packed != nullptr ? 0 : plan.panel_floats),
        own_floats((panel_floats + (plan.convert_rows ? plan.blocks.rows * plan.steps : 0) + 15) / 16 * 16),
        own(pieces_of.take<float>(own_floats * threads)) {}

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
    if (any_shared && p_.packed == nullptr) {
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
  // A group of a single block of rows uses a panel once: the thread that does packs it for itself.
  [[nodiscard]] bool shared(std::int64_t g) const { return p_.packed != nullptr || p_.rows[g].count() > plan_.blocks.rows; }
  [[nodiscard]] std::int64_t panels_per_block(std::int64_t g) const { return shared(g) ? plan_.blocks.panels : 1; }
  [[nodiscard]] Range panels_of(std::int64_t g) const {
    const std::int64_t first = g * plan_.panels;
    const std::int64_t begin = std::clamp<std::int64_t>(panels_.begin - first, 0, plan_.panels);
    return {begin, std::clamp<std::int64_t>(panels_.end - first, begin, plan_.panels)};
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
    const bool few = p_.packed == nullptr && all_rows.count() <= few_rows;
    for (std::int64_t panel = first_panel; panel < std::min(first_panel + per_block, panels.end); ++panel) {
      if (few) {
        multiply_unpacked(g, rows, a, columns_of(panel));
      } else if (shared(g)) {
        multiply_panel(g, rows, a, columns_of(panel), packed_panel(g * plan_.panels + panel));
      } else {
        pack(g, panel, {0, plan_.steps}, own);
        multiply_panel(g, rows, a, columns_of(panel), own);
      }
    }
  }

  [[nodiscard]] Output output(std::int64_t g, std::int64_t row, Range columns) const {
    const std::int64_t at = g * p_.c_group + row * p_.c_stride + columns.begin;
    float* to = p_.c_bf16 ? reinterpret_cast<float*>(reinterpret_cast<std::uint16_t*>(p_.c) + at) : p_.c + at;
    return {to, p_.c_stride, columns.count(), p_.c_bf16};
  }

  static Rows rows_of(Matrix a, std::int64_t first, int count) {
    Rows rows;
    for (int j = 0; j < count; ++j) rows.row[j] = a.row(first + j);
    rows.step = 4;
    return rows;
  }

  void multiply_panel(std::int64_t g, Range rows, Matrix a, Range columns, const float* b) const {
    for (std::int64_t i = 0; i < rows.count(); i += tile_rows) {
      const TileShape shape = tile_shape(rows.count() - i, columns.count());
      const Rows left = rows_of(a, i, shape.rows);
      const Multiply kernel = multiply_of<Chain>(shape);
      const Output c = output(g, rows.begin + i, columns);
      Tree tree(shape);
      sum_segments<Chain>(tree, 0, p_.k, &c, [&](std::int64_t first, std::int64_t steps, const Target& target) {
        kernel(left, first, b + first * shape.width(), shape.width(), steps, target);
      });
    }
  }

  void multiply_unpacked(std::int64_t g, Range rows, Matrix a, Range columns) const {
    const TileShape shape{static_cast<int>(rows.count()), few_vectors};
    const Rows left = rows_of(a, 0, shape.rows);
    const MultiplyFew kernel = multiply_few_of<Chain>(p_.b_layout, shape.rows);
    for (std::int64_t column = columns.begin; column < columns.end; column += shape.width()) {
      const Range part_of{column, std::min(column + shape.width(), columns.end)};
      const Output c = output(g, rows.begin, part_of);
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
  Pieces counter(nullptr);
  const ProductsScratch scratch(counter, plan, p, threads);
  return counter.used();
}

template <typename Chain>
void products(const Products& p, Pool& pool, std::byte* workspace) {
  const ProductsPlan plan = plan_products<Chain>(p, pool.threads());
  Pieces all(workspace);
  const ProductsScratch scratch(all, plan, p, pool.threads());
  const std::int64_t panels = p.count * plan.panels;
  for (std::int64_t first = 0; first < panels; first += plan.panels_at_once) {
    ProductsRound<Chain>(p, plan, scratch, {first, std::min(first + plan.panels_at_once, panels)}).run(pool);
  }
}

// b as `products` packs it, all groups' panels one after another: [groups][panels][steps][panel_width].
template <typename Chain>
std::int64_t packed_floats(const Products& p) {
  return p.count * pieces(p.n, panel_width) * steps_of<Chain>(p.k) * panel_width;
}

// `source` has b's shape; f32 where the chain's operands are bf16 is rounded on the way.
template <typename Chain>
void pack_weight(const Products& p, bool round, Pool& pool, float* to) {
  const std::int64_t panels = pieces(p.n, panel_width);
  const std::int64_t steps = steps_of<Chain>(p.k);
  const std::int64_t parts = std::max<std::int64_t>(pieces(steps, pack_steps), 1);
  const bool down = p.b_layout == Layout::indices_columns;
  pool.each(p.count * panels * parts, [&](std::int64_t item, int) {
    const std::int64_t group = item / parts / panels;
    const std::int64_t panel = item / parts % panels;
    const Range columns{panel * panel_width, std::min((panel + 1) * panel_width, p.n)};
    const Range range{item % parts * pack_steps, std::min((item % parts + 1) * pack_steps, steps)};
    float* panel_to = to + (group * panels + panel) * steps * panel_width;
    const Matrix b{p.b.data + group * p.b_group, p.b.stride};
    const auto pack = [&](Matrix m, std::int64_t indices, Range of, Range part_steps, float* place) {
      down ? pack_down<Chain>(m, indices, of, part_steps, place) : pack_across<Chain>(m, indices, of, part_steps, place);
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

struct Gradients {
  Matrix dy;            // [rows, out]
  Matrix x;             // [rows, in]
  float* dw = nullptr;  // [experts, out, in]
  std::int64_t experts = 0;
  std::int64_t samples = 0;
  std::int64_t out = 0;
  std::int64_t in = 0;
  Groups rows;  // of expert e and sample s: group e · samples + s
};

// dy is packed like x, in panels of its own width, of which a tile's rows take tile_rows neighbouring lanes at every step: a common
// multiple of tile_rows and lanes. (Tiles of six lanes of their own cost more to pack than they save.)
inline constexpr int left_width = 48;
static_assert(left_width % tile_rows == 0 && left_width % lanes == 0);
// Rows of dy and x are packed a few at a time along their whole width: read down one panel, each row would lie in another page.
inline constexpr std::int64_t steps_at_once = 64;
inline constexpr std::int64_t gradient_pack_rows = 128;  // one thread's item

// f32 operands whose rows lie close enough together are read where they are: packing them would take as long as a tenth of the product.
// Rows further apart would fill a few sets of the caches only, and a last vector must not reach beyond its row.
template <typename Chain>
[[nodiscard]] bool read_in_place(Matrix m, std::int64_t columns) {
  return sizeof(typename Chain::Operand) == 4 && m.stride <= 2048 && columns % lanes == 0;
}

struct GradientsPlan {
  Blocks blocks;
  bool left_in_place = false;
  bool right_in_place = false;
  std::int64_t steps = 0;          // of all groups, at most
  std::int64_t lefts_at_once = 0;  // columns of dy, a multiple of left_width
  std::int64_t panels_at_once = 0;
};

template <typename Chain>
GradientsPlan plan_gradients(const Gradients& p, int threads) {
  GradientsPlan plan;
  plan.blocks = choose_blocks({p.experts, p.out, p.in}, threads);
  // An odd number of steps: panels a power of two apart would all lie in the same few sets of the caches while a row is spread over them.
  plan.steps = steps_of<Chain>(p.rows.limit + (Chain::indices_per_step - 1) * p.experts * p.samples) | 1;
  plan.left_in_place = read_in_place<Chain>(p.dy, p.out);
  plan.right_in_place = read_in_place<Chain>(p.x, p.in);
  const auto fit = [&](bool in_place, std::int64_t columns, std::int64_t width) {
    if (in_place) return std::max<std::int64_t>(pieces(columns, width), 1);
    const std::int64_t most = packed_bytes / std::max<std::int64_t>(plan.steps * width * 4, 1);
    return std::clamp<std::int64_t>(most, 1, std::max<std::int64_t>(pieces(columns, width), 1));
  };
  plan.lefts_at_once = fit(plan.left_in_place, p.out, left_width) * left_width;
  plan.panels_at_once = fit(plan.right_in_place, p.in, panel_width);
  return plan;
}

// The steps of all groups lie one after another, first in dy's and x's packed columns alike.
template <typename Chain>
class GradientsRun {
 public:
  GradientsRun(const Gradients& p, int threads, std::byte* workspace) : p_(p), plan_(plan_gradients<Chain>(p, threads)) {
    Pieces all(workspace);
    left_ = all.take<float>(plan_.left_in_place ? 0 : plan_.lefts_at_once * plan_.steps);
    packed_ = all.take<float>(plan_.right_in_place ? 0 : plan_.panels_at_once * plan_.steps * panel_width);
    workspace_ = all.used();
  }

  [[nodiscard]] std::int64_t workspace() const { return workspace_; }

  void run(Pool& pool) const {
    const std::int64_t panels = pieces(p_.in, panel_width);
    const bool pack_once = panels <= plan_.panels_at_once;
    for (std::int64_t i = 0; i < p_.out; i += plan_.lefts_at_once) {
      for (std::int64_t j = 0; j < panels; j += plan_.panels_at_once) {
        const Range lefts{i, std::min(i + plan_.lefts_at_once, p_.out)};
        const Range rights{j, std::min(j + plan_.panels_at_once, panels)};
        pack(pool, lefts, j == 0 && !plan_.left_in_place, rights, (i == 0 || !pack_once) && !plan_.right_in_place);
        multiply(pool, lefts, rights);
      }
    }
  }

 private:
  // Where a group's steps begin. A group of odd length leaves half a pair empty: one index a group is always enough for it.
  [[nodiscard]] std::int64_t start(std::int64_t group, Range rows) const {
    return Chain::indices_per_step == 2 ? (rows.begin + group) / 2 : rows.begin;
  }
  [[nodiscard]] Range columns_of(std::int64_t panel) const { return {panel * panel_width, std::min((panel + 1) * panel_width, p_.in)}; }

  void pack(Pool& pool, Range lefts, bool pack_lefts, Range rights, bool pack_rights) const {
    if (!pack_lefts && !pack_rights) return;
    const std::int64_t parts = pieces(p_.rows.limit, gradient_pack_rows);
    pool.each(2 * parts, [&](std::int64_t i, int) {
      const std::int64_t first = i / 2 * gradient_pack_rows;
      const Range rows{first, std::min(first + gradient_pack_rows, p_.rows.limit)};
      if (i % 2 == 0 ? pack_lefts : pack_rights) {
        each_group(rows, [&](Range group, std::int64_t first_step, Range steps) {
          for (std::int64_t at = steps.begin; at < steps.end; at += steps_at_once) {
            const Range now{at, std::min(at + steps_at_once, steps.end)};
            i % 2 == 0 ? pack_lefts_of(lefts, group, first_step, now) : pack_rights_of(rights, group, first_step, now);
          }
        });
      }
    });
  }

  void pack_lefts_of(Range lefts, Range group, std::int64_t first_step, Range steps) const {
    for (std::int64_t column = lefts.begin; column < lefts.end; column += left_width) {
      const Range columns = left_columns(lefts, column);
      pack_down<Chain>({p_.dy.row(group.begin), p_.dy.stride}, group.count(), columns, steps,
                       left_panel(lefts, columns) + first_step * padded(columns));
    }
  }

  void pack_rights_of(Range rights, Range group, std::int64_t first_step, Range steps) const {
    for (std::int64_t panel = rights.begin; panel < rights.end; ++panel) {
      const Range columns = columns_of(panel);
      pack_down<Chain>({p_.x.row(group.begin), p_.x.stride}, group.count(), columns, steps,
                       packed_panel(rights, panel) + first_step * padded(columns));
    }
  }

  // body(group's rows, its first step, the steps of it whose first index lies in `rows`) for every group that has such a step.
  template <typename Body>
  void each_group(Range rows, const Body& body) const {
    const std::int64_t groups = p_.experts * p_.samples;
    std::int64_t low = 0;
    std::int64_t high = groups;
    while (low < high) {  // the first group that ends behind rows.begin
      const std::int64_t middle = (low + high) / 2;
      if (p_.rows[middle].end > rows.begin) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    for (std::int64_t g = low; g < groups && p_.rows[g].begin < rows.end; ++g) {
      const Range group = p_.rows[g];
      const auto step_of = [&](std::int64_t row) { return steps_of<Chain>(std::clamp(row, group.begin, group.end) - group.begin); };
      body(group, start(g, group), Range{step_of(rows.begin), step_of(rows.end)});
    }
  }

  [[nodiscard]] float* packed_panel(Range rights, std::int64_t panel) const {
    return packed_ + (panel - rights.begin) * plan_.steps * panel_width;
  }

  void multiply(Pool& pool, Range lefts, Range rights) const {
    const std::int64_t down = pieces(lefts.count(), plan_.blocks.rows);
    const std::int64_t across = pieces(rights.count(), plan_.blocks.panels);
    pool.each(p_.experts * down * across, [&](std::int64_t block, int) {
      const std::int64_t row = lefts.begin + block / across % down * plan_.blocks.rows;
      const std::int64_t first = rights.begin + block % across * plan_.blocks.panels;
      const Range rows{row, std::min(row + plan_.blocks.rows, lefts.end)};
      const Range panels{first, std::min(first + plan_.blocks.panels, rights.end)};
      const std::int64_t expert = block / across / down;
      for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
        const Right right = right_panel(rights, panel);
        for (std::int64_t i = rows.begin; i < rows.end; i += tile_rows) {
          multiply_tile(expert, left_rows(lefts, i), right, {i, std::min(i + tile_rows, rows.end)}, columns_of(panel));
        }
      }
    });
  }

  static std::int64_t padded(Range columns) { return pieces(columns.count(), lanes) * lanes; }

  [[nodiscard]] Range left_columns(Range lefts, std::int64_t column) const {
    const std::int64_t begin = lefts.begin + (column - lefts.begin) / left_width * left_width;
    return {begin, std::min(begin + left_width, lefts.end)};
  }
  [[nodiscard]] float* left_panel(Range lefts, Range columns) const { return left_ + (columns.begin - lefts.begin) * plan_.steps; }

  // A panel of x: the place of its step 0, and how far apart its steps are. Steps of f32 read in place are rows.
  struct Right {
    const float* data;
    std::int64_t step;
  };
  [[nodiscard]] Right right_panel(Range rights, std::int64_t panel) const {
    if (plan_.right_in_place) return {as_f32(p_.x.data) + columns_of(panel).begin, p_.x.stride / 4};
    return {packed_panel(rights, panel), padded(columns_of(panel))};
  }

  // The columns of dy from `column` on, as rows.
  [[nodiscard]] Rows left_rows(Range lefts, std::int64_t column) const {
    if (plan_.left_in_place) {
      Rows rows;
      for (int j = 0; j < tile_rows; ++j) rows.row[j] = p_.dy.data + (column + j) * 4;
      rows.step = p_.dy.stride;
      return rows;
    }
    const Range panel = left_columns(lefts, column);
    const float* lane = left_panel(lefts, panel) + (column - panel.begin);
    Rows rows;
    for (int j = 0; j < tile_rows; ++j) rows.row[j] = reinterpret_cast<const std::byte*>(lane + j);
    rows.step = padded(panel) * 4;
    return rows;
  }

  void multiply_tile(std::int64_t expert, const Rows& a, const Right& right, Range rows, Range columns) const {
    const std::int64_t first = expert * p_.samples;
    std::int64_t last = -1;  // sample that has rows
    std::int64_t longest = 0;
    for (std::int64_t s = 0; s < p_.samples; ++s) {
      const std::int64_t count = p_.rows[first + s].count();
      if (count > 0) last = s;
      longest = std::max(longest, count);
    }
    float* dw = p_.dw + (expert * p_.out + rows.begin) * p_.in + columns.begin;
    if (last < 0) {
      for (std::int64_t i = 0; i < rows.count(); ++i) std::fill_n(dw + i * p_.in, columns.count(), 0.0f);
      return;
    }
    const auto segment_bits = static_cast<int>(std::bit_width(static_cast<std::uint64_t>(pieces(longest, segment) - 1)));
    const TileShape shape = tile_shape(rows.count(), columns.count());
    const Multiply kernel = multiply_of<Chain>(shape);
    const Output root{dw, p_.in, columns.count()};
    Tree tree(shape);
    for (std::int64_t s = 0; s <= last; ++s) {
      const Range group = p_.rows[first + s];
      if (group.count() == 0) continue;
      const std::int64_t step = start(first + s, group);
      sum_segments<Chain>(tree, s << segment_bits, group.count(), s == last ? &root : nullptr,
                          [&](std::int64_t from, std::int64_t steps, const Target& target) {
                            kernel(a, step + from, right.data + (step + from) * right.step, right.step, steps, target);
                          });
    }
  }

  const Gradients& p_;
  GradientsPlan plan_;
  float* left_ = nullptr;
  float* packed_ = nullptr;
  std::int64_t workspace_ = 0;
};

// What the kernels of this family put into their tables: `of` makes the Products or Gradients of a call.
inline const char* variant_name(const View& operand) {
  if (!operand.bf16()) {
    if constexpr (tile_vectors == 4) return "f32 6x64";
    return "f32 6x16";
  }
#if defined(GODWIT_ISA_avx512_bf16)
  return "bf16 6x64 in pairs";
#elif defined(GODWIT_SIMD_512)
  return "bf16 6x64 widened";
#elif defined(GODWIT_SIMD_256)
  return "bf16 6x16 widened";
#else
  return "bf16 6x16 flushed in software";
#endif
}

template <bool rounds = false>
const char* variant(const Call& call) {
  const View& a = call.in[0];
  const View& b = call.in[1];
  const bool result = call.out[0].dtype == GODWIT_F32 || (rounds && call.out[0].bf16());
  const bool served = a.dtype == b.dtype && a.dtype != GODWIT_I32 && result;
  return served ? variant_name(a) : nullptr;
}

inline std::int64_t row_bytes(const View& view) {
  return view.width() * (view.bf16() ? 2 : 4);
}
inline Matrix matrix(const View& view) {
  return {view.as<const std::byte>(), row_bytes(view)};
}

// The whole family is instantiated once per instruction set, in gemm.cc. `operand` says the type.
std::int64_t products_workspace(const Products& p, const View& operand, int threads);
void run_products(const Products& p, const View& operand, Pool& pool, std::byte* workspace);
std::int64_t gradients_workspace(const Gradients& p, const View& operand, int threads);
void run_gradients(const Gradients& p, const View& operand, Pool& pool, std::byte* workspace);

std::int64_t packed_bytes_of(const Products& p, const View& operand);
void pack_weight(const Products& p, const View& operand, const View& source, Pool& pool, std::byte* to);

// Of the call, with its weight as it was packed.
template <Products (*of)(const Call&)>
Products products_of(const Call& call) {
  Products p = of(call);
  p.packed = reinterpret_cast<const float*>(call.packed);
  return p;
}
template <Products (*of)(const Call&)>
std::int64_t workspace_of_products(const Call& call) {
  return products_workspace(products_of<of>(call), call.in[0], call.pool->threads());
}
template <Products (*of)(const Call&)>
void run_products(const Call& call) {
  run_products(products_of<of>(call), call.in[0], *call.pool, call.workspace);
}
template <Products (*of)(const Call&)>
std::int64_t packed_bytes_of(const Call& call) {
  return packed_bytes_of(of(call), call.in[0]);
}
template <Products (*of)(const Call&)>
void pack_weight(const Call& call, std::byte* to) {
  pack_weight(of(call), call.in[0], call.in[1], *call.pool, to);
}
template <Gradients (*of)(const Call&)>
std::int64_t workspace_of_gradients(const Call& call) {
  return gradients_workspace(of(call), call.in[0], call.pool->threads());
}
template <Gradients (*of)(const Call&)>
void run_gradients(const Call& call) {
  run_gradients(of(call), call.in[0], *call.pool, call.workspace);
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
