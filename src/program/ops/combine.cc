// x_t = Σ_k w_tk · y[row of t's slot k], a chain in slot order; slots without a row (−1) are skipped.
//   y [R, d]   weights [N, K]   row_of_slot [N, K]   slot_of_row [R]   →   x [N, d]      R = N·K
//
// `slot_of_row` is for the gradient alone.
// Gradient:  dy_row = w_tk · dx_t,  dw_tk = dx_t · y_row.
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/ops/fill_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void combine_reference(const Memory& memory) {
  const Real* y = real_in<Real>(memory, "y");
  const Real* weights = real_in<Real>(memory, "weights");
  const std::int32_t* row_of_slot = memory.i32("row_of_slot");
  Real* x = real_out<Real>(memory, "x");
  const std::int64_t width = memory.in("y").shape[1];
  const std::int64_t tokens = memory.in("weights").shape[0];
  const std::int64_t top_k = memory.in("weights").shape[1];
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      Real chain = 0;
      for (std::int64_t slot = t * top_k; slot < (t + 1) * top_k; ++slot) {
        const std::int64_t row = row_of_slot[slot];
        if (row >= 0) chain = fma_of<Real>(weights[slot], y[row * width + i], chain);
      }
      x[t * width + i] = chain + Real(0);
    }
  }
}

std::vector<Example> combine_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t tokens, std::int64_t width, std::int64_t top_k) {
    examples.push_back({.inputs = {{Dtype::f32, {tokens * top_k, width}},
                                   {Dtype::f32, {tokens, top_k}},
                                   {Dtype::i32, {tokens, top_k}},
                                   {Dtype::i32, {tokens * top_k}}},
                        .attributes = {}});
  };
  add(1, 1, 1);
  add(5, 7, 2);
  add(33, 65, 3);
  add(100, 128, 8);
  return examples;
}

}  // namespace

extern const Op combine;
const Op combine{
    .name = "combine",
    .inputs = {"y", "weights", "row_of_slot", "slot_of_row"},
    .outputs = {"x"},
    .shapes =
        [](Shapes& s) {
          const Shape& weights = s.in("weights").shape;
          s.require(weights.rank() == 2 && s.in("row_of_slot").shape == weights, "weights and row_of_slot are [tokens, top_k]");
          s.require(s.in("slot_of_row").shape == Shape{weights.count()}, "slot_of_row is [tokens·top_k]");
          s.require(s.in("y").shape == Shape{weights.count(), s.in("y").shape.width()}, "y has a row for every slot");
          s.set("x", Dtype::f32, {weights[0], s.in("y").shape[1]});
        },
    .gradient =
        [](Gradient& g) {
          const auto gradients =
              g.builder().emit("combine_backward", {g.in("y"), g.in("weights"), g.in("row_of_slot"), g.in("slot_of_row"), g.of("x")});
          g.set("y", gradients[0]);
          g.set("weights", gradients[1]);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 2.0 * static_cast<double>(i.in("y").shape.count()), .bytes = traffic(i)}; },
    .reference = combine_reference<float>,
    .reference64 = combine_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("y");
          f.reals("weights");
          fill_slots(f, f.in("weights").shape[0], f.in("weights").shape[1]);
        },
    .examples = combine_examples,
};

}  // namespace godwit::program
