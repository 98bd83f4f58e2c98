// y_m = x[rows_m]; zeros where rows_m lies outside [0,N).      x [N,d] f32 or bf16   rows [M] i32   →   y [M,d]
//
// Picks the rows whose result is wanted (the last ones of a prompt); nothing is differentiated through it.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Element>
void gather(const Memory& memory) {
  const auto* x = static_cast<const Element*>(memory.input_bytes(0));
  const std::int32_t* rows = memory.i32("rows");
  auto* y = static_cast<Element*>(memory.output_bytes(0));
  const std::int64_t count = memory.in("x").shape.rows();
  const std::int64_t width = memory.in("x").shape.width();
  for (std::int64_t m = 0; m < memory.in("rows").shape.count(); ++m) {
    const bool inside = rows[m] >= 0 && rows[m] < count;
    for (std::int64_t c = 0; c < width; ++c) y[m * width + c] = inside ? x[rows[m] * width + c] : Element(0);
  }
}

template <typename Real>
void gather_rows_reference(const Memory& memory) {
  memory.in("x").dtype == Dtype::bf16 ? gather<std::uint16_t>(memory) : gather<Real>(memory);
}

}  // namespace

extern const Op gather_rows;
const Op gather_rows{
    .name = "gather_rows",
    .inputs = {"x", "rows"},
    .outputs = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").dtype != Dtype::i32 && s.in("x").shape.rank() == 2, "x is [N,d], f32 or bf16");
          s.require(s.in("rows").dtype == Dtype::i32 && s.in("rows").shape.rank() == 1, "rows is [M], i32");
          s.set("y", s.in("x").dtype, {s.in("rows").shape[0], s.in("x").shape.width()});
        },
    .cost =
        [](const Instance& i) { return Cost{.flops = 0, .bytes = 2.0 * static_cast<double>(i.out("y").bytes() + i.in("rows").bytes())}; },
    .reference = gather_rows_reference<float>,
    .reference64 = gather_rows_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("x");
          f.integers("rows", -2, static_cast<std::int32_t>(f.in("x").shape.rows()) + 1);
        },
    .examples =
        [] {
          std::vector<Example> examples;
          struct Case {
            std::int64_t rows, width, picked;
          };
          for (const Case c : {Case{1, 1, 1}, Case{1, 3, 5}, Case{7, 65, 3}, Case{64, 64, 13}, Case{513, 5, 2}}) {
            examples.push_back({{f32_type({c.rows, c.width}), i32_type({c.picked})}, {}});
            examples.push_back({{bf16_type({c.rows, c.width}), i32_type({c.picked})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
