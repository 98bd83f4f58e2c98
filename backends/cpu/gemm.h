// The two families of matrix products, with the bits of docs/arithmetic.md (DOT and TOKENS DOT):
//
//   products   C_g = A_g · B_g, k along the rows of A: linear, its gradient by the input, their grouped forms, the absorbed projections
//   gradients  dw_e = Σ_samples dyᵀ · x, k down the rows: linear's gradient by the weight and its grouped form
//
// Both pack the right operand into panels of at most `packed_bytes` at a time, then give blocks of outputs to the threads; no sum is shared
// between threads. Rows and groups that no offset names are never read.
#pragma once

#include <algorithm>

#include "gemm_pack.h"
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

enum class Layout { indices_columns, columns_indices };

struct Products {
  Matrix a;                  // [rows, k] of group 0
  std::int64_t a_group = 0;  // bytes from one group to the next; 0 where groups are rows of one matrix
  Matrix b;                  // of group 0
  std::int64_t b_group = 0;  // bytes
  Layout b_layout{};
  float* c = nullptr;             // [rows, n] of group 0
  std::int64_t c_stride = 0;      // floats
  std::int64_t c_group = 0;       // floats
  std::int64_t count = 0;         // groups
  std::int64_t typical_rows = 0;  // of a group
  std::int64_t n = 0;
  std::int64_t k = 0;
  Groups rows;
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
  plan.blocks = choose_blocks({p.count, p.typical_rows, p.n}, 96, threads);
  plan.panels = pieces(p.n, panel_width);
  plan.steps = steps_of<Chain>(p.k);
  plan.panel_floats = plan.steps * panel_width;
  const std::int64_t fit = packed_bytes / std::max<std::int64_t>(plan.panel_floats * 4, 1);
  plan.panels_at_once = std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(p.count * plan.panels, 1));
  plan.convert_rows = !lanes_in_place<Chain>(p.k);
  return plan;
}

struct ProductsScratch {
  ProductsScratch(Pieces& pieces_of, const ProductsPlan& plan, std::int64_t groups, int threads)
      : first_block(pieces_of.take<std::int64_t>(groups + 1)),
        packed(pieces_of.take<float>(plan.panels_at_once * plan.panel_floats)),
        own_floats((plan.panel_floats + (plan.convert_rows ? plan.blocks.rows * plan.steps : 0) + 15) / 16 * 16),
        own(pieces_of.take<float>(own_floats * threads)) {}

  std::int64_t* first_block;  // of each group, in the present round
  float* packed;
  std::int64_t own_floats;  // per thread: a panel, then converted rows
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
    if (any_shared) {
      const std::int64_t parts = std::max<std::int64_t>(pieces(plan_.steps, pack_steps), 1);
      pool.each(panels_.count() * parts, [&](std::int64_t i, int) {
        const std::int64_t panel = panels_.begin + i / parts;
        const std::int64_t from = i % parts * pack_steps;
        if (!shared(panel / plan_.panels)) return;
        pack(panel / plan_.panels, panel % plan_.panels, {from, std::min(from + pack_steps, plan_.steps)}, packed_panel(panel));
      });
    }
    pool.each(blocks, [&](std::int64_t block, int thread) { compute(block, thread); });
  }

 private:
  // A group of a single block of rows uses a panel once: the thread that does packs it for itself.
  [[nodiscard]] bool shared(std::int64_t g) const { return p_.rows[g].count() > plan_.blocks.rows; }
  [[nodiscard]] std::int64_t panels_per_block(std::int64_t g) const { return shared(g) ? plan_.blocks.panels : 1; }
  [[nodiscard]] Range panels_of(std::int64_t g) const {
    const std::int64_t first = g * plan_.panels;
    const std::int64_t begin = std::clamp<std::int64_t>(panels_.begin - first, 0, plan_.panels);
    return {begin, std::clamp<std::int64_t>(panels_.end - first, begin, plan_.panels)};
  }
  [[nodiscard]] float* packed_panel(std::int64_t panel) const { return scratch_.packed + (panel - panels_.begin) * plan_.panel_floats; }
  [[nodiscard]] Range columns_of(std::int64_t panel) const { return {panel * panel_width, std::min((panel + 1) * panel_width, p_.n)}; }

  void pack(std::int64_t g, std::int64_t panel, Range steps, float* to) const {
    const Matrix b{p_.b.data + g * p_.b_group, p_.b.stride};
    if (p_.b_layout == Layout::indices_columns) {
      pack_down<Chain>(b, p_.k, columns_of(panel), steps, to);
    } else {
      pack_across<Chain>(b, p_.k, columns_of(panel), steps, to);
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
      float* converted = own + plan_.panel_floats;
      for (std::int64_t i = 0; i < rows.count(); ++i) pack_row<Chain>(a.row(i), p_.k, converted + i * plan_.steps);
      a = {reinterpret_cast<const std::byte*>(converted), plan_.steps * 4};
    }
    for (std::int64_t panel = first_panel; panel < std::min(first_panel + per_block, panels.end); ++panel) {
      const float* b = own;
      if (shared(g)) {
        b = packed_panel(g * plan_.panels + panel);
      } else {
        pack(g, panel, {0, plan_.steps}, own);
      }
      multiply_panel(g, rows, a, panel, b);
    }
  }

  void multiply_panel(std::int64_t g, Range rows, Matrix a, std::int64_t panel, const float* b) const {
    const Range columns = columns_of(panel);
    Tree tree;
    alignas(64) float tile[tile_floats];
    for (std::int64_t i = 0; i < rows.count(); i += tile_rows) {
      const TileShape shape = tile_shape(rows.count() - i, columns.count());
      Rows left;
      for (int j = 0; j < shape.rows; ++j) left.row[j] = a.row(i + j);
      left.step = 4;
      sum_segments<Chain>(tree, shape, left, 0, b, p_.k, tile);
      store_tile(shape, tile, columns.count(), p_.c + g * p_.c_group + (rows.begin + i) * p_.c_stride + columns.begin, p_.c_stride);
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
  const ProductsScratch scratch(counter, plan, p.count, threads);
  return counter.used();
}

template <typename Chain>
void products(const Products& p, Pool& pool, std::byte* workspace) {
  const ProductsPlan plan = plan_products<Chain>(p, pool.threads());
  Pieces all(workspace);
  const ProductsScratch scratch(all, plan, p.count, pool.threads());
  const std::int64_t panels = p.count * plan.panels;
  for (std::int64_t first = 0; first < panels; first += plan.panels_at_once) {
    ProductsRound<Chain>(p, plan, scratch, {first, std::min(first + plan.panels_at_once, panels)}).run(pool);
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

struct GradientsPlan {
  Blocks blocks;
  std::int64_t panels = 0;
  std::int64_t steps = 0;  // of all groups, at most
  std::int64_t panels_at_once = 0;
};

template <typename Chain>
GradientsPlan plan_gradients(const Gradients& p, int threads) {
  GradientsPlan plan;
  plan.blocks = choose_blocks({p.experts, p.out, p.in}, columns_at_once, threads);
  plan.panels = pieces(p.in, panel_width);
  plan.steps = steps_of<Chain>(p.rows.limit + (Chain::indices_per_step - 1) * p.experts * p.samples);
  const std::int64_t fit = packed_bytes / std::max<std::int64_t>(plan.steps * panel_width * 4, 1);
  plan.panels_at_once = std::clamp<std::int64_t>(fit, 1, std::max<std::int64_t>(plan.panels, 1));
  return plan;
}

// One round of gradients(): columns of `panels` of x, for all experts.
template <typename Chain>
class GradientsRound {
 public:
  GradientsRound(const Gradients& p, const GradientsPlan& plan, std::byte* workspace, int threads, Range panels)
      : p_(p), plan_(plan), panels_(panels) {
    Pieces all(workspace);
    packed_ = all.take<float>(plan.panels_at_once * plan.steps * panel_width);
    own_ = all.take<float>(own_floats() * threads);
    workspace_ = all.used();
  }

  [[nodiscard]] std::int64_t workspace() const { return workspace_; }

  void run(Pool& pool) {
    constexpr std::int64_t at_once = pack_steps * Chain::indices_per_step;
    const std::int64_t parts = pieces(p_.rows.limit, at_once);
    pool.each(panels_.count() * parts, [&](std::int64_t i, int) {
      const std::int64_t first = i % parts * at_once;
      pack(panels_.begin + i / parts, {first, std::min(first + at_once, p_.rows.limit)});
    });
    const std::int64_t down = pieces(p_.out, plan_.blocks.rows);
    const std::int64_t across = pieces(panels_.count(), plan_.blocks.panels);
    pool.each(p_.experts * down * across, [&](std::int64_t block, int thread) {
      const std::int64_t row = block / across % down * plan_.blocks.rows;
      const std::int64_t panel = panels_.begin + block % across * plan_.blocks.panels;
      compute(block / across / down, {row, std::min(row + plan_.blocks.rows, p_.out)},
              {panel, std::min(panel + plan_.blocks.panels, panels_.end)}, thread);
    });
  }

 private:
  // Where a group's steps begin. A group of odd length leaves half a pair empty: one index a group is always enough for it.
  [[nodiscard]] std::int64_t start(std::int64_t group, Range rows) const {
    return Chain::indices_per_step == 2 ? (rows.begin + group) / 2 : rows.begin;
  }
  [[nodiscard]] std::int64_t own_floats() const { return plan_.blocks.rows * plan_.steps; }
  [[nodiscard]] float* packed_panel(std::int64_t panel) const { return packed_ + (panel - panels_.begin) * plan_.steps * panel_width; }
  [[nodiscard]] Range columns_of(std::int64_t panel) const { return {panel * panel_width, std::min((panel + 1) * panel_width, p_.in)}; }

  // The steps whose first index lies in `rows`, of every group.
  void pack(std::int64_t panel, Range rows) const {
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
    const std::int64_t width = pieces(columns_of(panel).count(), lanes) * lanes;
    for (std::int64_t g = low; g < groups && p_.rows[g].begin < rows.end; ++g) {
      const Range group = p_.rows[g];
      const auto step_behind = [&](std::int64_t row) { return steps_of<Chain>(std::clamp(row, group.begin, group.end) - group.begin); };
      pack_down<Chain>({p_.x.row(group.begin), p_.x.stride}, group.count(), columns_of(panel),
                       {step_behind(rows.begin), step_behind(rows.end)}, packed_panel(panel) + start(g, group) * width);
    }
  }

  void compute(std::int64_t expert, Range rows, Range panels, int thread) const {
    float* left = own_ + thread * own_floats();
    const std::int64_t first = expert * p_.samples;
    const std::int64_t first_step = start(first, p_.rows[first]);
    for (std::int64_t g = first; g < first + p_.samples; ++g) {
      const Range group = p_.rows[g];
      if (group.count() == 0) continue;
      pack_left_down<Chain>({p_.dy.row(group.begin), p_.dy.stride}, group.count(), rows, plan_.steps,
                            left + (start(g, group) - first_step) * tile_rows);
    }
    Tree over_samples;
    Tree over_segments;
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
      const Range columns = columns_of(panel);
      for (std::int64_t i = 0; i < rows.count(); i += tile_rows) {
        const TileShape shape = tile_shape(rows.count() - i, columns.count());
        Rows a;
        for (int j = 0; j < tile_rows; ++j) a.row[j] = reinterpret_cast<const std::byte*>(left + i * plan_.steps + j);
        a.step = tile_rows * 4;
        over_samples.clear(shape);
        for (std::int64_t s = 0; s < p_.samples; ++s) {
          const Range group = p_.rows[first + s];
          if (group.count() == 0) continue;
          const std::int64_t step = start(first + s, group);
          sum_segments<Chain>(over_segments, shape, a, step - first_step, packed_panel(panel) + step * shape.vectors * lanes, group.count(),
                              over_samples.leaf(s));
        }
        store_tile(shape, over_samples.root(), columns.count(), p_.dw + (expert * p_.out + rows.begin + i) * p_.in + columns.begin, p_.in);
      }
    }
  }

  const Gradients& p_;
  const GradientsPlan& plan_;
  Range panels_;
  float* packed_ = nullptr;
  float* own_ = nullptr;
  std::int64_t workspace_ = 0;
};

template <typename Chain>
std::int64_t gradients_workspace(const Gradients& p, int threads) {
  const GradientsPlan plan = plan_gradients<Chain>(p, threads);
  return GradientsRound<Chain>(p, plan, nullptr, threads, {0, plan.panels_at_once}).workspace();
}

template <typename Chain>
void gradients(const Gradients& p, Pool& pool, std::byte* workspace) {
  const GradientsPlan plan = plan_gradients<Chain>(p, pool.threads());
  for (std::int64_t first = 0; first < plan.panels; first += plan.panels_at_once) {
    GradientsRound<Chain>(p, plan, workspace, pool.threads(), {first, std::min(first + plan.panels_at_once, plan.panels)}).run(pool);
  }
}

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

inline const char* variant(const Call& call) {
  const View& a = call.in[0];
  const View& b = call.in[1];
  const bool served = a.dtype == b.dtype && a.dtype != GODWIT_I32 && call.out[0].dtype == GODWIT_F32;
  return served ? variant_name(a) : nullptr;
}

inline std::int64_t row_bytes(const View& view) {
  return view.width() * (view.bf16() ? 2 : 4);
}
inline Matrix matrix(const View& view) {
  return {view.as<const std::byte>(), row_bytes(view)};
}

template <Products (*of)(const Call&)>
std::int64_t workspace_of_products(const Call& call) {
  return with_chain(call.in[0], [&](auto chain) { return products_workspace<decltype(chain)>(of(call), call.pool->threads()); });
}

template <Products (*of)(const Call&)>
void run_products(const Call& call) {
  const Products p = of(call);
  if (p.rows.offsets != nullptr) clear_unused(p, *call.pool);
  with_chain(call.in[0], [&](auto chain) { products<decltype(chain)>(p, *call.pool, call.workspace); });
}

template <Gradients (*of)(const Call&)>
std::int64_t workspace_of_gradients(const Call& call) {
  return with_chain(call.in[0], [&](auto chain) { return gradients_workspace<decltype(chain)>(of(call), call.pool->threads()); });
}

template <Gradients (*of)(const Call&)>
void run_gradients(const Call& call) {
  with_chain(call.in[0], [&](auto chain) { gradients<decltype(chain)>(of(call), *call.pool, call.workspace); });
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
