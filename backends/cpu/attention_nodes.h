// Attention's tree over segments of keys (docs/arithmetic.md): a node is what rows of queries have of some segments, each row's maximum m,
// sum l and unscaled result o, and two of them join.
#pragma once

#include <cstring>
#include <limits>

#include "attention_check.h"
#include "attention_tile.h"
#include "functions.h"
#include "twice.h"

namespace godwit::cpu::GODWIT_ISA::attend {

struct Node {
  float* m;
  float* l;
  float* o;  // `width` elements a row
};

// Of one segment, in a thread's hands: at most block_rows rows.
class Leaf : public Node {
 public:
  Leaf(Carve& carve, std::int64_t rows_most, std::int64_t width)
      : Node{take(carve, rows_most, width)}, rows_most_(rows_most), width_(width) {}
  static Node take(Carve& carve, std::int64_t rows, std::int64_t width) {
    rows = round_up(rows, lanes);
    return {carve.take<float>(rows), carve.take<float>(rows), carve.take<float>(rows * width)};
  }

  // To a place of floats(rows_most, width) and back.
  [[nodiscard]] static std::int64_t floats(std::int64_t rows_most, std::int64_t width) { return rows_most * (2 + width); }
  void put(std::int64_t rows, float* to) const {
    std::memcpy(to, m, bytes(rows_most_));
    std::memcpy(to + rows_most_, l, bytes(rows_most_));
    std::memcpy(to + 2 * rows_most_, o, bytes(rows * width_));
  }
  void get(std::int64_t rows, const float* from) const {
    std::memcpy(m, from, bytes(rows_most_));
    std::memcpy(l, from + rows_most_, bytes(rows_most_));
    std::memcpy(o, from + 2 * rows_most_, bytes(rows * width_));
  }
  static std::size_t bytes(std::int64_t floats) { return static_cast<std::size_t>(floats) * sizeof(float); }

 private:
  std::int64_t rows_most_;
  std::int64_t width_;
};

// The aligned tree over the segments of up to `longest` keys, for `rows` rows: a binary counter whose bit k is a node waiting at level k.
class NodeTree {
 public:
  NodeTree(Carve& carve, std::int64_t longest, std::int64_t rows, std::int64_t width, const Draws& draws) : width_(width), draws_(draws) {
    const int levels = waiting_levels(longest);
    for (int i = 0; i < levels; ++i) waiting_[i] = Leaf::take(carve, rows, width);
  }

  // The leaf of segment `index`: `rows` of the tree's rows, from `first` on. It joins what waits for it and then waits itself; of the last
  // segment it ends as the whole.
  void take_in(const Node& leaf, std::int64_t first, int rows, std::int64_t index, bool last) const {
    int level = 0;
    for (; (index >> level) % 2 != 0; ++level) join(leaf, waiting_[level], first, rows);
    if (last) {
      for (++level; (index >> level) != 0; ++level) {
        if ((index >> level) % 2 != 0) join(leaf, waiting_[level], first, rows);
      }
      return;
    }
    const Node& to = waiting_[level];
    std::memcpy(to.m + first, leaf.m, Leaf::bytes(rows));
    std::memcpy(to.l + first, leaf.l, Leaf::bytes(rows));
    std::memcpy(to.o + first * width_, leaf.o, Leaf::bytes(rows * width_));
  }

 private:
  // leaf = waiting joined with leaf.
  void join(const Node& leaf, const Node& waiting, std::int64_t first_row, int rows) const {
    for (int i = 0; i < rows; i += lanes) {
      const F32 m1 = load(waiting.m + first_row + i);
      const F32 m2 = load(leaf.m + i);
      const F32 m = select(unordered(m1, m2), set1(nan32), larger(m1, m2) + zero());
      const F32 a1 = exp(m1 - m);
      const F32 a2 = exp(m2 - m);
      const F32 l2 = load(leaf.l + i);
      store(leaf.m + i, m);
      store(leaf.l + i, fma(load(waiting.l + first_row + i), a1, l2 * a2));
      Same same;
      const bool checks = draws_.checks();
      if (checks) {
        const Mask some = first(static_cast<int>(std::min<std::int64_t>(lanes, rows - i)));
        const auto look = [&](F32 made, F32 second) { same.look(select(some, made, zero()), select(some, second, zero())); };
        look(a1, exp(again(m1) - m));
        look(a2, exp(again(m2) - m));
        look(load(leaf.l + i), fma(again(load(waiting.l + first_row + i)), a1, l2 * a2));
      }
      alignas(64) float first_scale[lanes];
      alignas(64) float second_scale[lanes];
      store(first_scale, a1);
      store(second_scale, a2);
      for (int k = 0; k < lanes && i + k < rows; ++k) {
        const float* earlier = waiting.o + (first_row + i + k) * width_;
        float* later = leaf.o + (i + k) * width_;
        for (std::int64_t c = 0; c < width_; c += lanes) {
          const F32 x = load(later + c);
          store(later + c, fma(load(earlier + c), set1(first_scale[k]), x * set1(second_scale[k])));
          if (checks) same.look(load(later + c), fma(load(earlier + c), set1(first_scale[k]), again(x) * set1(second_scale[k])));
        }
      }
      if (!same.holds()) draws_.inspection->doubt(0, -1, std::numeric_limits<double>::infinity(), 0);
    }
  }

  std::int64_t width_;
  Draws draws_;
  Node waiting_[48];
};

}  // namespace godwit::cpu::GODWIT_ISA::attend
