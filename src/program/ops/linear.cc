// y = x · wᵀ, each element a DOT over in.      x [N, in] T   w [out, in] T   samples [S+1]   →   y [N, out]
//
// `samples` is for the gradient alone.
// Gradient (dy cast to T):  dx = dy · w,  dw = dyᵀ · x, summed sample by sample.
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void linear_reference(const Memory& memory) {
  const Operand<Real> x(memory, "x");
  const Operand<Real> w(memory, "w");
  Real* y = real_out<Real>(memory, "y");
  const std::int64_t rows = memory.in("x").shape[0];
  const std::int64_t width_in = memory.in("x").shape[1];
  const std::int64_t width_out = memory.in("w").shape[0];
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t o = 0; o < width_out; ++o) {
      y[t * width_out + o] = dot<Real>(
          x.bf16(), width_in, [&](std::int64_t i) { return x[t * width_in + i]; }, [&](std::int64_t i) { return w[o * width_in + i]; });
    }
  }
}

std::vector<Example> linear_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t in, std::int64_t out, std::int64_t samples) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, in}}, {dtype, {out, in}}, {Dtype::i32, {samples + 1}}}, .attributes = {}});
    }
  };
  add(1, 1, 1, 1);
  add(1, 33, 5, 1);
  add(3, 5, 7, 2);
  add(65, 64, 63, 4);
  add(130, 127, 31, 3);
  add(6, 511, 17, 1);
  add(7, 513, 65, 1);
  add(5, 1100, 3, 1);
  add(4, 2051, 9, 1);
  add(96, 256, 48, 2);
  return examples;
}

}  // namespace

extern const Op linear;
const Op linear{
    .name = "linear",
    .inputs = {"x", "w", "samples"},
    .outputs = {"y"},
    .rounds = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").shape.rank() == 2 && s.in("w").shape.rank() == 2, "x and w have two dimensions");
          s.require(s.in("x").shape[1] == s.in("w").shape[1], "x and w have the same width");
          s.require(s.in("x").dtype == s.in("w").dtype, "x and w have the same dtype");
          s.set("y", Dtype::f32, {s.in("x").shape[0], s.in("w").shape[0]});
        },
    .gradient =
        [](Gradient& g) {
          const TensorId dy = g.builder().cast(g.of("y"), g.instance().in("x").dtype);
          g.set("x", g.builder().emit1("linear_backward_input", {dy, g.in("w")}));
          g.set("w", g.builder().emit1("linear_backward_weight", {dy, g.in("x"), g.in("samples")}));
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("x").shape.count() * i.in("w").shape[0]), .bytes = traffic(i)};
        },
    .reference = linear_reference<float>,
    .reference64 = linear_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.reals("w");
          f.samples("samples", f.in("x").shape[0]);
        },
    .examples = linear_examples,
};

}  // namespace godwit::program
