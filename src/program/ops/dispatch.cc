// y_row = x[slot_of_row / K]: brings the tokens to their experts' rows.
//   x [N, d] T   slot_of_row [R]   row_of_slot [N, K]   →   y [R, d] T      R = N·K, unused rows zeros
//
// `row_of_slot` is for the gradient alone.
// Gradient:  dx_t = Σ_k dy[row of t's slot k].
#include <algorithm>

#include "program/fill.h"
#include "program/ops/fill_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Element>
void bring_rows(const Memory& memory) {
  const auto* x = static_cast<const Element*>(memory.input_bytes(memory.input_index("x")));
  auto* y = static_cast<Element*>(memory.output_bytes(memory.output_index("y")));
  const std::int32_t* slot_of_row = memory.i32("slot_of_row");
  const std::int64_t width = memory.in("x").shape[1];
  const std::int64_t top_k = memory.integer("top_k");
  for (std::int64_t row = 0; row < memory.in("slot_of_row").shape.count(); ++row) {
    if (slot_of_row[row] < 0) {
      std::fill_n(y + row * width, width, Element(0));
    } else {
      std::copy_n(x + slot_of_row[row] / top_k * width, width, y + row * width);
    }
  }
}

template <typename Real>
void dispatch_reference(const Memory& memory) {
  if (memory.in("x").dtype == Dtype::bf16) {
    bring_rows<std::uint16_t>(memory);
  } else {
    bring_rows<Real>(memory);
  }
}

std::vector<Example> dispatch_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t tokens, std::int64_t width, std::int64_t top_k) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {tokens, width}}, {Dtype::i32, {tokens * top_k}}, {Dtype::i32, {tokens, top_k}}},
                          .attributes = {{"top_k", top_k}}});
    }
  };
  add(1, 1, 1);
  add(5, 7, 2);
  add(33, 65, 3);
  add(100, 128, 8);
  return examples;
}

}  // namespace

extern const Op dispatch;
const Op dispatch{
    .name = "dispatch",
    .inputs = {"x", "slot_of_row", "row_of_slot"},
    .outputs = {"y"},
    .attributes = {"top_k"},
    .shapes =
        [](Shapes& s) {
          const Shape& x = s.in("x").shape;
          s.require(x.rank() == 2, "x has two dimensions");
          s.require(s.in("row_of_slot").shape == Shape{x[0], s.integer("top_k")}, "row_of_slot is [tokens, top_k]");
          s.require(s.in("slot_of_row").shape == Shape{x[0] * s.integer("top_k")}, "slot_of_row is [tokens·top_k]");
          s.set("y", s.in("x").dtype, {x[0] * s.integer("top_k"), x[1]});
        },
    .gradient =
        [](Gradient& g) {
          g.set("x", g.builder().emit1("dispatch_backward", {g.of("y"), g.in("row_of_slot")}));
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = 2 * static_cast<double>(i.out("y").bytes())}; },
    .reference = dispatch_reference<float>,
    .reference64 = dispatch_reference<double>,
    .check = Check::recompute,
    .fill =
        [](Fill& f) {
          f.reals("x");
          fill_slots(f, f.in("row_of_slot").shape[0], f.in("row_of_slot").shape[1]);
        },
    .examples = dispatch_examples,
};

}  // namespace godwit::program
