// The gradient of rope: rotates dy's pairs back,  a = a'·cos + b'·sin,  b = b'·cos − a'·sin.
//   dy [N, heads·D]   positions [N]   cos [P, r/2]   sin [P, r/2]   →   dx [N, heads·D]
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void rope_backward_reference(const Memory& memory) {
  const Real* dy = real_in<Real>(memory, "dy");
  const Real* cos = real_in<Real>(memory, "cos");
  const Real* sin = real_in<Real>(memory, "sin");
  const std::int32_t* positions = memory.i32("positions");
  Real* dx = real_out<Real>(memory, "dx");
  const std::int64_t rows = memory.in("dy").shape[0];
  const std::int64_t width = memory.in("dy").shape[1];
  const std::int64_t head_width = width / memory.integer("heads");
  const std::int64_t offset = memory.integer("offset");
  const std::int64_t table_rows = memory.in("cos").shape[0];
  const std::int64_t pairs = memory.in("cos").shape[1];
  std::copy_n(dy, rows * width, dx);
  for (std::int64_t t = 0; t < rows; ++t) {
    const std::int64_t position = std::clamp<std::int64_t>(positions[t], 0, table_rows - 1);
    for (std::int64_t head = 0; head < width; head += head_width) {
      for (std::int64_t i = 0; i < pairs; ++i) {
        const std::int64_t at = t * width + head + offset + 2 * i;
        const Real a = dy[at];
        const Real b = dy[at + 1];
        const Real c = cos[position * pairs + i];
        const Real s = sin[position * pairs + i];
        dx[at] = fma_of<Real>(a, c, b * s);
        dx[at + 1] = fma_of<Real>(b, c, -(a * s));
      }
    }
  }
}

std::vector<Example> rope_backward_examples() {
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

extern const Op rope_backward;
const Op rope_backward{
    .name = "rope_backward",
    .inputs = {"dy", "positions", "cos", "sin"},
    .outputs = {"dx"},
    .attributes = {"heads", "offset"},
    .rounds = {"dx"},
    .shapes =
        [](Shapes& s) {
          const Shape& dy = s.in("dy").shape;
          s.require(dy.rank() == 2 && dy[1] % s.integer("heads") == 0, "dy has heads of equal width");
          s.require(s.in("cos").shape.rank() == 2 && s.in("cos").shape == s.in("sin").shape, "cos and sin are tables of one shape");
          s.require(s.in("cos").shape[0] > 0, "the tables have a row");
          s.require(s.in("positions").shape.count() == dy[0], "every row has a position");
          s.require(s.integer("offset") >= 0 && s.integer("offset") + 2 * s.in("cos").shape[1] <= dy[1] / s.integer("heads"),
                    "the rotated columns lie inside the head");
          s.set("dx", Dtype::f32, dy);
        },
    .cost =
        [](const Instance& i) {
          const std::int64_t rotations = i.in("dy").shape[0] * i.integer("heads") * i.in("cos").shape[1];
          return Cost{.flops = 6.0 * static_cast<double>(rotations), .bytes = traffic(i)};
        },
    .reference = rope_backward_reference<float>,
    .reference64 = rope_backward_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("dy");
          f.integers("positions", -2, static_cast<std::int32_t>(f.in("cos").shape[0]) + 1);
          f.reals("cos");
          f.reals("sin");
        },
    .examples = rope_backward_examples,
};

}  // namespace godwit::program
