// y_row = x_row · w_eᵀ for the rows of expert e, each element a DOT over in.
//   x [R, in] T   w [E, out, in] T   offsets [E·S+1]   →   y [R, out]
//
// The rows of expert e and sample s are offsets[e·S+s] … offsets[e·S+s+1]−1; rows behind the last are +0.
// Gradient (dy cast to T):  dx_row = dy_row · w_e,  dw_e = Σ dyᵀ · x over e's rows, sample by sample.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void grouped_linear_reference(const Memory& memory) {
  const Operand<Real> x(memory, "x");
  const Operand<Real> w(memory, "w");
  const std::int32_t* offsets = memory.i32("offsets");
  Real* y = real_out<Real>(memory, "y");
  const std::int64_t experts = memory.in("w").shape[0];
  const std::int64_t width_out = memory.in("w").shape[1];
  const std::int64_t width_in = memory.in("w").shape[2];
  const std::int64_t samples = (memory.in("offsets").shape.count() - 1) / experts;
  std::fill_n(y, memory.out("y").shape.count(), Real(0));
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t row = offsets[e * samples]; row < offsets[(e + 1) * samples]; ++row) {
      for (std::int64_t o = 0; o < width_out; ++o) {
        y[row * width_out + o] = dot<Real>(
            x.bf16(), width_in, [&](std::int64_t i) { return x[row * width_in + i]; },
            [&](std::int64_t i) { return w[(e * width_out + o) * width_in + i]; });
      }
    }
  }
}

std::vector<Example> grouped_linear_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t in, std::int64_t out, std::int64_t experts, std::int64_t samples) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back(
          {.inputs = {{dtype, {rows, in}}, {dtype, {experts, out, in}}, {Dtype::i32, {experts * samples + 1}}}, .attributes = {}});
    }
  };
  add(1, 1, 1, 1, 1);
  add(3, 5, 7, 8, 1);
  add(12, 33, 9, 3, 2);
  add(70, 64, 63, 4, 1);
  add(140, 65, 17, 5, 3);
  add(9, 513, 11, 2, 2);
  add(6, 1100, 3, 2, 1);
  add(256, 48, 24, 16, 4);
  return examples;
}

}  // namespace

extern const Op grouped_linear;
const Op grouped_linear{
    .name = "grouped_linear",
    .inputs = {"x", "w", "offsets"},
    .outputs = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").shape.rank() == 2 && s.in("w").shape.rank() == 3, "x has two dimensions and w three");
          s.require(s.in("x").shape[1] == s.in("w").shape[2], "x and w have the same width");
          s.require(s.in("x").dtype == s.in("w").dtype, "x and w have the same dtype");
          s.require((s.in("offsets").shape.count() - 1) % s.in("w").shape[0] == 0, "offsets hold experts × samples + 1 rows");
          s.set("y", Dtype::f32, {s.in("x").shape[0], s.in("w").shape[1]});
        },
    .gradient =
        [](Gradient& g) {
          const TensorId dy = g.builder().cast(g.of("y"), g.instance().in("x").dtype);
          g.set("x", g.builder().emit1("grouped_linear_backward_input", {dy, g.in("w"), g.in("offsets")}));
          const std::int64_t experts = g.instance().in("w").shape[0];
          g.set("w", g.builder().emit1("grouped_linear_backward_weight", {dy, g.in("x"), g.in("offsets")}, {{"experts", experts}}));
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("x").shape.count() * i.in("w").shape[1]), .bytes = traffic(i)};
        },
    .reference = grouped_linear_reference<float>,
    .reference64 = grouped_linear_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.reals("w");
          f.samples("offsets", f.in("x").shape[0]);
        },
    .examples = grouped_linear_examples,
};

}  // namespace godwit::program
