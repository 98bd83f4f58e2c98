// dw = dyᵀ · x, each element TOKENS DOT over rows.      dy [N, out] T   x [N, in] T   samples [S+1]   →   dw [out, in]
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void linear_backward_weight_reference(const Memory& memory) {
  const Operand<Real> dy(memory, "dy");
  const Operand<Real> x(memory, "x");
  const std::int32_t* samples = memory.i32("samples");
  Real* dw = real_out<Real>(memory, "dw");
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  const std::int64_t width_out = memory.in("dy").shape[1];
  const std::int64_t width_in = memory.in("x").shape[1];
  for (std::int64_t o = 0; o < width_out; ++o) {
    for (std::int64_t i = 0; i < width_in; ++i) {
      dw[o * width_in + i] = over_samples<Real>(samples, sample_count, [&](std::int64_t first, std::int64_t rows) {
        return dot<Real>(
            x.bf16(), rows, [&](std::int64_t t) { return dy[(first + t) * width_out + o]; },
            [&](std::int64_t t) { return x[(first + t) * width_in + i]; });
      });
    }
  }
}

std::vector<Example> linear_backward_weight_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t out, std::int64_t in, std::int64_t samples) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, out}}, {dtype, {rows, in}}, {Dtype::i32, {samples + 1}}}, .attributes = {}});
    }
  };
  add(1, 1, 1, 1);
  add(1, 5, 33, 1);
  add(5, 3, 7, 3);
  add(3, 2, 2, 8);
  add(64, 17, 31, 1);
  add(131, 63, 65, 4);
  add(520, 7, 9, 1);
  add(1100, 5, 3, 1);
  add(2060, 9, 4, 2);
  add(1700, 6, 19, 5);
  return examples;
}

}  // namespace

extern const Op linear_backward_weight;
const Op linear_backward_weight{
    .name = "linear_backward_weight",
    .inputs = {"dy", "x", "samples"},
    .outputs = {"dw"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("dy").shape.rank() == 2 && s.in("x").shape.rank() == 2, "dy and x have two dimensions");
          s.require(s.in("dy").shape[0] == s.in("x").shape[0], "dy and x have the same rows");
          s.require(s.in("dy").dtype == s.in("x").dtype, "dy and x have the same dtype");
          s.set("dw", Dtype::f32, {s.in("dy").shape[1], s.in("x").shape[1]});
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("dy").shape.count() * i.in("x").shape[1]), .bytes = traffic(i)};
        },
    .reference = linear_backward_weight_reference<float>,
    .reference64 = linear_backward_weight_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("dy");
          f.reals("x");
          f.samples("samples", f.in("x").shape[0]);
        },
    .examples = linear_backward_weight_examples,
};

}  // namespace godwit::program
