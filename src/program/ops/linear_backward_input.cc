// dx = dy · w, each element a DOT over out.      dy [N, out] T   w [out, in] T   →   dx [N, in]
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void linear_backward_input_reference(const Memory& memory) {
  const Operand<Real> dy(memory, "dy");
  const Operand<Real> w(memory, "w");
  Real* dx = real_out<Real>(memory, "dx");
  const std::int64_t rows = memory.in("dy").shape[0];
  const std::int64_t width_out = memory.in("w").shape[0];
  const std::int64_t width_in = memory.in("w").shape[1];
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t i = 0; i < width_in; ++i) {
      dx[t * width_in + i] = dot<Real>(
          dy.bf16(), width_out, [&](std::int64_t o) { return dy[t * width_out + o]; }, [&](std::int64_t o) { return w[o * width_in + i]; });
    }
  }
}

std::vector<Example> linear_backward_input_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t out, std::int64_t in) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, out}}, {dtype, {out, in}}}, .attributes = {}});
    }
  };
  add(1, 1, 1);
  add(1, 33, 5);
  add(3, 5, 7);
  add(65, 64, 63);
  add(130, 127, 31);
  add(6, 511, 17);
  add(7, 513, 65);
  add(5, 1100, 3);
  add(4, 2051, 9);
  add(96, 256, 48);
  return examples;
}

}  // namespace

extern const Op linear_backward_input;
const Op linear_backward_input{
    .name = "linear_backward_input",
    .inputs = {"dy", "w"},
    .outputs = {"dx"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("dy").shape.rank() == 2 && s.in("w").shape.rank() == 2, "dy and w have two dimensions");
          s.require(s.in("dy").shape[1] == s.in("w").shape[0], "dy is as wide as w has rows");
          s.require(s.in("dy").dtype == s.in("w").dtype, "dy and w have the same dtype");
          s.set("dx", Dtype::f32, {s.in("dy").shape[0], s.in("w").shape[1]});
        },
    .cost =
        [](const Instance& i) {
          return Cost{.flops = 2.0 * static_cast<double>(i.in("dy").shape.count() * i.in("w").shape[1]), .bytes = traffic(i)};
        },
    .reference = linear_backward_input_reference<float>,
    .reference64 = linear_backward_input_reference<double>,
    .check = Check::projection,
    .examples = linear_backward_input_examples,
};

}  // namespace godwit::program
