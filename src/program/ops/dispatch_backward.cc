// The gradient of dispatch: dx_t = the chain of dy[row_of_slot[t, k]] in slot order; slots without a row (−1) are skipped.
//   dy [R, d]   row_of_slot [N, K]   →   dx [N, d]
#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/ops/fill_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void dispatch_backward_reference(const Memory& memory) {
  const Real* dy = real_in<Real>(memory, "dy");
  const std::int32_t* row_of_slot = memory.i32("row_of_slot");
  Real* dx = real_out<Real>(memory, "dx");
  const std::int64_t width = memory.in("dy").shape[1];
  const std::int64_t tokens = memory.in("row_of_slot").shape[0];
  const std::int64_t top_k = memory.in("row_of_slot").shape[1];
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < width; ++i) {
      Real chain = 0;
      for (std::int64_t k = 0; k < top_k; ++k) {
        const std::int64_t row = row_of_slot[t * top_k + k];
        if (row >= 0) chain = chain + dy[row * width + i];
      }
      dx[t * width + i] = chain + Real(0);
    }
  }
}

std::vector<Example> dispatch_backward_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t tokens, std::int64_t width, std::int64_t top_k) {
    examples.push_back({.inputs = {{Dtype::f32, {tokens * top_k, width}}, {Dtype::i32, {tokens, top_k}}}, .attributes = {}});
  };
  add(1, 1, 1);
  add(5, 7, 2);
  add(33, 65, 3);
  add(100, 128, 8);
  return examples;
}

}  // namespace

extern const Op dispatch_backward;
const Op dispatch_backward{
    .name = "dispatch_backward",
    .inputs = {"dy", "row_of_slot"},
    .outputs = {"dx"},
    .shapes =
        [](Shapes& s) {
          const Shape& slots = s.in("row_of_slot").shape;
          s.require(slots.rank() == 2, "row_of_slot is [tokens, top_k]");
          s.require(s.in("dy").shape == Shape{slots.count(), s.in("dy").shape.width()}, "dy has a row for every slot");
          s.set("dx", Dtype::f32, {slots[0], s.in("dy").shape[1]});
        },
    .cost = [](const Instance& i) { return Cost{.flops = static_cast<double>(i.in("dy").shape.count()), .bytes = traffic(i)}; },
    .reference = dispatch_backward_reference<float>,
    .reference64 = dispatch_backward_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("dy");
          fill_slots(f, f.in("row_of_slot").shape[0], f.in("row_of_slot").shape[1]);
        },
    .examples = dispatch_backward_examples,
};

}  // namespace godwit::program
