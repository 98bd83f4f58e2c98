// y = (x·r)·w with r = 1 / sqrt(mean(x²) + eps), over the last axis.      x [N,d]   w [d]   samples [S+1] i32   →   y [N,d]   r [N]
//
// Gradient: rms_norm_backward gives dx, rms_norm_weight_backward dw; `samples` matters to dw only.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void rms_norm_reference(const Memory& memory) {
  const Real* w = real_in<Real>(memory, "w");
  const std::int64_t width = memory.in("x").shape.width();
  const auto eps = static_cast<Real>(memory.real("eps"));
  for (std::int64_t row = 0; row < memory.in("x").shape.rows(); ++row) {
    const Real* x = real_in<Real>(memory, "x") + row * width;
    Real* y = real_out<Real>(memory, "y") + row * width;
    const Real squares = row_dot<Real>(
        width, [&](std::int64_t i) { return x[i]; }, [&](std::int64_t i) { return x[i]; });
    const Real r = Real(1) / std::sqrt(squares / static_cast<Real>(width) + eps);
    for (std::int64_t i = 0; i < width; ++i) y[i] = (x[i] * r) * w[i];
    real_out<Real>(memory, "r")[row] = r;
  }
}

}  // namespace

extern const Op rms_norm;
const Op rms_norm{
    .name = "rms_norm",
    .inputs = {"x", "w", "samples"},
    .outputs = {"y", "r"},
    .attributes = {"eps"},
    .rounds = {"y"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          s.require(s.in("x").dtype == Dtype::f32 && x.rank() == 2 && x.width() > 0, "x is [N,d], f32");
          s.require(s.in("w") == f32_type({x.width()}), "w is [d], f32");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.set("y", Dtype::f32, x);
          s.set("r", Dtype::f32, {x.rows()});
        },
    .gradient =
        [](Gradient& g) {
          const TensorId dy = g.of("y");
          g.set("x", g.builder().emit1("rms_norm_backward", {g.in("x"), g.in("w"), g.out("r"), dy}));
          g.set("w", g.builder().emit1("rms_norm_weight_backward", {g.in("x"), g.out("r"), dy, g.in("samples")}));
        },
    .cost = [](const Instance& i) { return Cost{.flops = 4.0 * static_cast<double>(i.in("x").shape.count()), .bytes = traffic(i)}; },
    .reference = rms_norm_reference<float>,
    .reference64 = rms_norm_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.reals("w");
          f.samples("samples", f.in("x").shape.rows());
        },
    .examples =
        [] {
          struct Case {
            std::int64_t rows, width, samples;
          };
          std::vector<Example> examples;
          for (const Case c : {Case{1, 1, 1}, Case{3, 7, 2}, Case{2, 63, 1}, Case{5, 64, 3}, Case{2, 65, 1}, Case{9, 128, 4},
                               Case{2, 511, 1}, Case{2, 512, 1}, Case{2, 513, 1}, Case{3, 1100, 2}, Case{1, 1600, 1}}) {
            examples.push_back({{f32_type({c.rows, c.width}), f32_type({c.width}), i32_type({c.samples + 1})}, {{"eps", 1e-6}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
