// dw of rms_norm: over the rows of all samples, dw = Σ dy·(x·r).      x [N,d]   r [N]   dy [N,d]   samples [S+1] i32   →   dw [d]
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void rms_norm_weight_backward_reference(const Memory& memory) {
  const Real* x = real_in<Real>(memory, "x");
  const Real* r = real_in<Real>(memory, "r");
  const Real* dy = real_in<Real>(memory, "dy");
  Real* dw = real_out<Real>(memory, "dw");
  const std::int64_t width = memory.in("x").shape.width();
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  for (std::int64_t c = 0; c < width; ++c) {
    dw[c] = over_samples<Real>(memory.i32("samples"), sample_count, [&](std::int64_t first, std::int64_t rows) {
      return dot<Real>(
          false, rows, [&](std::int64_t t) { return dy[(first + t) * width + c]; },
          [&](std::int64_t t) { return x[(first + t) * width + c] * r[first + t]; });
    });
  }
}

}  // namespace

extern const Op rms_norm_weight_backward;
const Op rms_norm_weight_backward{
    .name = "rms_norm_weight_backward",
    .inputs = {"x", "r", "dy", "samples"},
    .outputs = {"dw"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          s.require(s.in("x").dtype == Dtype::f32 && x.rank() == 2, "x is [N,d], f32");
          s.require(s.in("r") == f32_type({x.rows()}), "r is [N], f32");
          s.require(s.in("dy") == s.in("x"), "dy has x's shape");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.set("dw", Dtype::f32, {x.width()});
        },
    .cost = [](const Instance& i) { return Cost{.flops = 3.0 * static_cast<double>(i.in("x").shape.count()), .bytes = traffic(i)}; },
    .reference = rms_norm_weight_backward_reference<float>,
    .reference64 = rms_norm_weight_backward_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.reals("r");
          f.reals("dy");
          f.samples("samples", f.in("x").shape.rows());
        },
    .examples =
        [] {
          struct Case {
            std::int64_t rows, width, samples;
          };
          std::vector<Example> examples;
          for (const Case c : {Case{1, 1, 1}, Case{3, 7, 2}, Case{4, 5, 0}, Case{17, 65, 5}, Case{511, 3, 1}, Case{512, 3, 1},
                               Case{513, 3, 1}, Case{1100, 17, 1}, Case{1300, 9, 3}, Case{600, 64, 8}}) {
            const TensorType x = f32_type({c.rows, c.width});
            examples.push_back({{x, f32_type({c.rows}), x, i32_type({c.samples + 1})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
