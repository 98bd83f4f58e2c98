// dx_row = dy_row · w_e for the rows of expert e, each element a DOT over out.
//   dy [R, out] T   w [E, out, in] T   offsets [E·S+1]   →   dx [R, in]      (unused rows +0)
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void grouped_linear_backward_input_reference(const Memory& memory) {
  const Operand<Real> dy(memory, "dy");
  const Operand<Real> w(memory, "w");
  const std::int32_t* offsets = memory.i32("offsets");
  Real* dx = real_out<Real>(memory, "dx");
  const std::int64_t experts = memory.in("w").shape[0];
  const std::int64_t width_out = memory.in("w").shape[1];
  const std::int64_t width_in = memory.in("w").shape[2];
  const std::int64_t samples = (memory.in("offsets").shape.count() - 1) / experts;
  std::fill_n(dx, memory.out("dx").shape.count(), Real(0));
  for (std::int64_t e = 0; e < experts; ++e) {
    for (std::int64_t row = offsets[e * samples]; row < offsets[(e + 1) * samples]; ++row) {
      for (std::int64_t i = 0; i < width_in; ++i) {
        dx[row * width_in + i] = dot<Real>(
            dy.bf16(), width_out, [&](std::int64_t o) { return dy[row * width_out + o]; },
            [&](std::int64_t o) { return w[(e * width_out + o) * width_in + i]; });
      }
    }
  }
}

std::vector<Example> grouped_linear_backward_input_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t out, std::int64_t in, std::int64_t experts, std::int64_t samples) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back(
          {.inputs = {{dtype, {rows, out}}, {dtype, {experts, out, in}}, {Dtype::i32, {experts * samples + 1}}}, .attributes = {}});
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

extern const Op grouped_linear_backward_input;
const Op grouped_linear_backward_input{
    .name = "grouped_linear_backward_input",
    .inputs = {"dy", "w", "offsets"},
    .outputs = {"dx"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("dy").shape.rank() == 2 && s.in("w").shape.rank() == 3, "dy has two dimensions and w three");
          s.require(s.in("dy").shape[1] == s.in("w").shape[1], "dy is as wide as each expert has rows");
          s.require(s.in("dy").dtype == s.in("w").dtype, "dy and w have the same dtype");
          s.require((s.in("offsets").shape.count() - 1) % s.in("w").shape[0] == 0, "offsets hold experts × samples + 1 rows");
          s.set("dx", Dtype::f32, {s.in("dy").shape[0], s.in("w").shape[2]});
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("dy").shape.count() * i.in("w").shape[2]), .bytes = traffic(i)};
        },
    .reference = grouped_linear_backward_input_reference<float>,
    .reference64 = grouped_linear_backward_input_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("dy");
          f.reals("w");
          f.samples("offsets", f.in("dy").shape[0]);
        },
    .examples = grouped_linear_backward_input_examples,
};

}  // namespace godwit::program
