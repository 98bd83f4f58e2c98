// Rotates interleaved pairs of columns by the row's position:  a' = a·cos − b·sin,  b' = a·sin + b·cos.
//   x [N, heads·D]   positions [N]   cos [P, r/2]   sin [P, r/2]   →   y [N, heads·D]
//
// Per head the pairs are the columns offset+2i and offset+2i+1, i < r/2 (DeepSeek's and GPT-J's order, not GPT-NeoX's halves); the others
// are copied. A position outside the table takes its nearest end.
// Gradient:  the rotation by the opposite angle.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void rope_reference(const Memory& memory) {
  const Real* x = real_in<Real>(memory, "x");
  const Real* cos = real_in<Real>(memory, "cos");
  const Real* sin = real_in<Real>(memory, "sin");
  const std::int32_t* positions = memory.i32("positions");
  Real* y = real_out<Real>(memory, "y");
  const std::int64_t rows = memory.in("x").shape[0];
  const std::int64_t width = memory.in("x").shape[1];
  const std::int64_t head_width = width / memory.integer("heads");
  const std::int64_t offset = memory.integer("offset");
  const std::int64_t table_rows = memory.in("cos").shape[0];
  const std::int64_t pairs = memory.in("cos").shape[1];
  std::copy_n(x, rows * width, y);
  for (std::int64_t t = 0; t < rows; ++t) {
    const std::int64_t position = std::clamp<std::int64_t>(positions[t], 0, table_rows - 1);
    for (std::int64_t head = 0; head < width; head += head_width) {
      for (std::int64_t i = 0; i < pairs; ++i) {
        const std::int64_t at = t * width + head + offset + 2 * i;
        const Real a = x[at];
        const Real b = x[at + 1];
        const Real c = cos[position * pairs + i];
        const Real s = sin[position * pairs + i];
        y[at] = fma_of<Real>(a, c, -(b * s));
        y[at + 1] = fma_of<Real>(a, s, b * c);
      }
    }
  }
}

std::vector<Example> rope_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t before, std::int64_t pairs, std::int64_t behind,
                       std::int64_t table_rows) {
    examples.push_back({.inputs = {{Dtype::f32, {rows, heads * (before + 2 * pairs + behind)}},
                                   {Dtype::i32, {rows}},
                                   {Dtype::f32, {table_rows, pairs}},
                                   {Dtype::f32, {table_rows, pairs}}},
                        .attributes = {{"heads", heads}, {"offset", before}}});
  };
  add(1, 1, 0, 1, 0, 1);
  add(3, 1, 0, 4, 0, 5);
  add(5, 3, 5, 3, 2, 4);
  add(17, 2, 16, 8, 0, 33);
  add(40, 4, 32, 32, 0, 64);
  return examples;
}

}  // namespace

extern const Op rope;
const Op rope{
    .name = "rope",
    .inputs = {"x", "positions", "cos", "sin"},
    .outputs = {"y"},
    .attributes = {"heads", "offset"},
    .rounds = {"y"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          s.require(x.rank() == 2 && x[1] % s.integer("heads") == 0, "x has heads of equal width");
          s.require(s.in("cos").shape.rank() == 2 && s.in("cos").shape == s.in("sin").shape, "cos and sin are tables of one shape");
          s.require(s.in("cos").shape[0] > 0, "the tables have a row");
          s.require(s.in("positions").shape.count() == x[0], "every row has a position");
          s.require(s.integer("offset") >= 0 && s.integer("offset") + 2 * s.in("cos").shape[1] <= x[1] / s.integer("heads"),
                    "the rotated columns lie inside the head");
          s.set("y", Dtype::f32, x);
        },
    .gradient =
        [](Gradient& g) {
          g.set("x",
                g.builder().emit1("rope_backward", {g.of("y"), g.in("positions"), g.in("cos"), g.in("sin")}, g.instance().attributes()));
        },
    .cost =
        [](const Instance& i) {
          const std::int64_t rotations = i.in("x").shape[0] * i.integer("heads") * i.in("cos").shape[1];
          return Cost{.flops = 6.0 * static_cast<double>(rotations), .bytes = traffic(i)};
        },
    .reference = rope_reference<float>,
    .reference64 = rope_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.integers("positions", -2, static_cast<std::int32_t>(f.in("cos").shape[0]) + 1);
          f.reals("cos");
          f.reals("sin");
        },
    .examples = rope_examples,
};

}  // namespace godwit::program
