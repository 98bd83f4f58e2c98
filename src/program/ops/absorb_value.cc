// Takes attention over the latent to the heads' values: the value part of kv_b, applied behind the sum (absorbed decode).
//   x [N, H·c] T   w [H·(n+v), c] T   →   o [N, H·v],   o_i = DOT over c of the head's x and row n+i of its part of w
//
// No gradient.
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void absorb_value_reference(const Memory& memory) {
  const Operand<Real> x(memory, "x");
  const Operand<Real> w(memory, "w");
  Real* o = real_out<Real>(memory, "o");
  const std::int64_t rows = memory.in("x").shape[0];
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t nope = memory.integer("nope");
  const std::int64_t value_width = memory.integer("value");
  const std::int64_t latent = memory.in("w").shape[1];
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < value_width; ++i) {
        o[(t * heads + h) * value_width + i] = dot<Real>(
            x.bf16(), latent, [&](std::int64_t c) { return x[(t * heads + h) * latent + c]; },
            [&](std::int64_t c) { return w[(h * (nope + value_width) + nope + i) * latent + c]; });
      }
    }
  }
}

std::vector<Example> absorb_value_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t nope, std::int64_t value, std::int64_t latent) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, heads * latent}}, {dtype, {heads * (nope + value), latent}}},
                          .attributes = {{"heads", heads}, {"nope", nope}, {"value", value}}});
    }
  };
  add(1, 1, 1, 1, 1);
  add(5, 3, 5, 3, 7);
  add(17, 4, 32, 32, 63);
  add(2, 2, 3, 5, 513);
  return examples;
}

}  // namespace

extern const Op absorb_value;
const Op absorb_value{
    .name = "absorb_value",
    .inputs = {"x", "w"},
    .outputs = {"o"},
    .attributes = {"heads", "nope", "value"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          const Shape& w = s.in("w").shape;
          const std::int64_t heads = s.integer("heads");
          s.require(w.rank() == 2 && w[0] == heads * (s.integer("nope") + s.integer("value")), "w is [heads·(nope + value), latent]");
          s.require(x.rank() == 2 && x[1] == heads * w[1], "x is [rows, heads·latent]");
          s.require(s.in("x").dtype == s.in("w").dtype, "x and w have the same dtype");
          s.set("o", Dtype::f32, {x[0], heads * s.integer("value")});
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("x").shape.count() * i.integer("value")), .bytes = traffic(i)};
        },
    .reference = absorb_value_reference<float>,
    .reference64 = absorb_value_reference<double>,
    .check = Check::projection,
    .examples = absorb_value_examples,
};

}  // namespace godwit::program
