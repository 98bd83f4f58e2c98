// dw_e = dyᵀ · x over the rows of expert e, each element TOKENS DOT with the group (e, s) as sample s.
//   dy [R, out] T   x [R, in] T   offsets [E·S+1]   →   dw [E, out, in]
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void grouped_linear_backward_weight_reference(const Memory& memory) {
  const Operand<Real> dy(memory, "dy");
  const Operand<Real> x(memory, "x");
  const std::int32_t* offsets = memory.i32("offsets");
  Real* dw = real_out<Real>(memory, "dw");
  const std::int64_t experts = memory.integer("experts");
  const std::int64_t width_out = memory.in("dy").shape[1];
  const std::int64_t width_in = memory.in("x").shape[1];
  const std::int64_t samples = (memory.in("offsets").shape.count() - 1) / experts;
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t o = 0; o < width_out; ++o) {
      for (std::int64_t i = 0; i < width_in; ++i) {
        const auto per_group = [&](std::int64_t first, std::int64_t rows) {
          return dot<Real>(
              x.bf16(), rows, [&](std::int64_t row) { return dy[(first + row) * width_out + o]; },
              [&](std::int64_t row) { return x[(first + row) * width_in + i]; });
        };
        dw[(e * width_out + o) * width_in + i] = over_samples<Real>(offsets + e * samples, samples, per_group);
      }
    }
  }
}

std::vector<Example> grouped_linear_backward_weight_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t out, std::int64_t in, std::int64_t experts, std::int64_t samples) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, out}}, {dtype, {rows, in}}, {Dtype::i32, {experts * samples + 1}}},
                          .attributes = {{"experts", experts}}});
    }
  };
  add(1, 1, 1, 1, 1);
  add(3, 5, 7, 8, 1);
  add(12, 9, 33, 3, 2);
  add(70, 63, 64, 4, 1);
  add(140, 17, 65, 5, 3);
  add(1100, 5, 3, 1, 1);
  add(1500, 4, 9, 2, 2);
  add(256, 48, 24, 16, 4);
  return examples;
}

}  // namespace

extern const Op grouped_linear_backward_weight;
const Op grouped_linear_backward_weight{
    .name = "grouped_linear_backward_weight",
    .inputs = {"dy", "x", "offsets"},
    .outputs = {"dw"},
    .attributes = {"experts"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("dy").shape.rank() == 2 && s.in("x").shape.rank() == 2, "dy and x have two dimensions");
          s.require(s.in("dy").shape[0] == s.in("x").shape[0], "dy and x have the same rows");
          s.require(s.in("dy").dtype == s.in("x").dtype, "dy and x have the same dtype");
          s.require((s.in("offsets").shape.count() - 1) % s.integer("experts") == 0, "offsets hold experts × samples + 1 rows");
          s.set("dw", Dtype::f32, {s.integer("experts"), s.in("dy").shape[1], s.in("x").shape[1]});
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("dy").shape.count() * i.in("x").shape[1]), .bytes = traffic(i)};
        },
    .reference = grouped_linear_backward_weight_reference<float>,
    .reference64 = grouped_linear_backward_weight_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("dy");
          f.reals("x");
          f.samples("offsets", f.in("x").shape[0]);
        },
    .examples = grouped_linear_backward_weight_examples,
};

}  // namespace godwit::program
