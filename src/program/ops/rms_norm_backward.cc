// dx of rms_norm.      x [N,d]   w [d]   r [N]   dy [N,d]   →   dx [N,d]
//
// g = dy·w, h = x·r, c = mean(g·h):  dx = r·(g − h·c).
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void rms_norm_backward_reference(const Memory& memory) {
  const Real* w = real_in<Real>(memory, "w");
  const std::int64_t width = memory.in("x").shape.width();
  for (std::int64_t row = 0; row < memory.in("x").shape.rows(); ++row) {
    const Real* x = real_in<Real>(memory, "x") + row * width;
    const Real* dy = real_in<Real>(memory, "dy") + row * width;
    const Real r = real_in<Real>(memory, "r")[row];
    Real* dx = real_out<Real>(memory, "dx") + row * width;
    auto g = [&](std::int64_t i) { return dy[i] * w[i]; };
    auto h = [&](std::int64_t i) { return x[i] * r; };
    const Real c = row_dot<Real>(width, g, h) / static_cast<Real>(width);
    for (std::int64_t i = 0; i < width; ++i) dx[i] = r * fma_of<Real>(-h(i), c, g(i));
  }
}

}  // namespace

extern const Op rms_norm_backward;
const Op rms_norm_backward{
    .name = "rms_norm_backward",
    .inputs = {"x", "w", "r", "dy"},
    .outputs = {"dx"},
    .rounds = {"dx"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          s.require(s.in("x").dtype == Dtype::f32 && x.rank() == 2 && x.width() > 0, "x is [N,d], f32");
          s.require(s.in("w") == f32_type({x.width()}), "w is [d], f32");
          s.require(s.in("r") == f32_type({x.rows()}), "r is [N], f32");
          s.require(s.in("dy") == s.in("x"), "dy has x's shape");
          s.set("dx", Dtype::f32, x);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 8.0 * static_cast<double>(i.in("x").shape.count()), .bytes = traffic(i)}; },
    .reference = rms_norm_backward_reference<float>,
    .reference64 = rms_norm_backward_reference<double>,
    .examples =
        [] {
          struct Case {
            std::int64_t rows, width;
          };
          std::vector<Example> examples;
          for (const Case c : {Case{1, 1}, Case{3, 7}, Case{2, 63}, Case{5, 64}, Case{2, 65}, Case{9, 128}, Case{2, 511}, Case{2, 512},
                               Case{2, 513}, Case{3, 1100}, Case{1, 1600}}) {
            const TensorType x = f32_type({c.rows, c.width});
            examples.push_back({{x, f32_type({c.width}), f32_type({c.rows}), x}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
