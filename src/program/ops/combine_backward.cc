// The gradient of combine: dy_row = w_tk · dx_t and dweights_tk = ROW(dx_t · y_row), row that of token t's slot k.
//   y [R, d]   weights [N, K]   row_of_slot [N, K]   slot_of_row [R]   dx [N, d]   →   dy [R, d], dweights [N, K]
//
// Unused rows and slots without a row are zeros.
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/ops/fill_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void combine_backward_reference(const Memory& memory) {
  const Real* y = real_in<Real>(memory, "y");
  const Real* weights = real_in<Real>(memory, "weights");
  const Real* dx = real_in<Real>(memory, "dx");
  const std::int32_t* row_of_slot = memory.i32("row_of_slot");
  const std::int32_t* slot_of_row = memory.i32("slot_of_row");
  Real* dy = real_out<Real>(memory, "dy");
  Real* dweights = real_out<Real>(memory, "dweights");
  const std::int64_t width = memory.in("y").shape[1];
  const std::int64_t top_k = memory.in("weights").shape[1];
  const std::int64_t slots = memory.in("weights").shape.count();
  for (std::int64_t row = 0; row < slots; ++row) {
    const std::int64_t slot = slot_of_row[row];
    for (std::int64_t i = 0; i < width; ++i) dy[row * width + i] = slot < 0 ? Real(0) : weights[slot] * dx[slot / top_k * width + i];
  }
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    const std::int64_t row = row_of_slot[slot];
    const Real* dx_t = dx + slot / top_k * width;
    dweights[slot] = row < 0 ? Real(0)
                             : row_dot<Real>(
                                   width, [&](std::int64_t i) { return dx_t[i]; }, [&](std::int64_t i) { return y[row * width + i]; });
  }
}

std::vector<Example> combine_backward_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t tokens, std::int64_t width, std::int64_t top_k) {
    examples.push_back({.inputs = {{Dtype::f32, {tokens * top_k, width}},
                                   {Dtype::f32, {tokens, top_k}},
                                   {Dtype::i32, {tokens, top_k}},
                                   {Dtype::i32, {tokens * top_k}},
                                   {Dtype::f32, {tokens, width}}},
                        .attributes = {}});
  };
  add(1, 1, 1);
  add(5, 7, 2);
  add(33, 65, 3);
  add(9, 513, 2);
  add(3, 1100, 4);
  add(100, 128, 8);
  return examples;
}

}  // namespace

extern const Op combine_backward;
const Op combine_backward{
    .name = "combine_backward",
    .inputs = {"y", "weights", "row_of_slot", "slot_of_row", "dx"},
    .outputs = {"dy", "dweights"},
    .rounds = {"dy"},
    .shapes =
        [](Shapes& s) {
          const Shape& weights = s.in("weights").shape;
          const std::int64_t width = s.in("y").shape.width();
          s.require(weights.rank() == 2 && s.in("row_of_slot").shape == weights, "weights and row_of_slot are [tokens, top_k]");
          s.require(s.in("slot_of_row").shape == Shape{weights.count()}, "slot_of_row is [tokens·top_k]");
          s.require(s.in("y").shape == Shape{weights.count(), width}, "y has a row for every slot");
          s.require(s.in("dx").shape == Shape{weights[0], width}, "dx is [tokens, width]");
          s.set("dy", Dtype::f32, s.in("y").shape);
          s.set("dweights", Dtype::f32, weights);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 3.0 * static_cast<double>(i.in("y").shape.count()), .bytes = traffic(i)}; },
    .reference = combine_backward_reference<float>,
    .reference64 = combine_backward_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("y");
          f.reals("weights");
          f.reals("dx");
          fill_slots(f, f.in("weights").shape[0], f.in("weights").shape[1]);
        },
    .examples = combine_backward_examples,
};

}  // namespace godwit::program
