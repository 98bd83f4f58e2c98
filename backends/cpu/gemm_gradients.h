// dw_e = Σ_samples dyᵀ · x, k down the rows: linear's gradient by the weight and its grouped form.
//
// Both operands are packed into panels of at most `packed_bytes` at a time, or read where they are; then blocks of outputs go to the
// threads.
#pragma once

#include <algorithm>
#include <bit>

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
    Carve all(workspace);
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

}  // namespace godwit::cpu::GODWIT_ISA::gemm
