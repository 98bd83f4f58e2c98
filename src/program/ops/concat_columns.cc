// x = [left | right], row by row.      left [N,a]   right [N,b]   →   x [N, a+b]      f32 or bf16
//
// Gradient: dleft, dright = split_columns(dx).
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Element>
void concat(const Memory& memory) {
  const auto* left = static_cast<const Element*>(memory.input_bytes(0));
  const auto* right = static_cast<const Element*>(memory.input_bytes(1));
  auto* x = static_cast<Element*>(memory.output_bytes(0));
  const std::int64_t left_width = memory.in("left").shape.width();
  const std::int64_t right_width = memory.in("right").shape.width();
  for (std::int64_t row = 0; row < memory.in("left").shape.rows(); ++row) {
    for (std::int64_t c = 0; c < left_width; ++c) *x++ = left[row * left_width + c];
    for (std::int64_t c = 0; c < right_width; ++c) *x++ = right[row * right_width + c];
  }
}

template <typename Real>
void concat_columns_reference(const Memory& memory) {
  memory.in("left").dtype == Dtype::bf16 ? concat<std::uint16_t>(memory) : concat<Real>(memory);
}

}  // namespace

extern const Op concat_columns;
const Op concat_columns{
    .name = "concat_columns",
    .inputs = {"left", "right"},
    .outputs = {"x"},
    .shapes =
        [](Shapes& s) {
          const TensorType& left = s.in("left");
          const TensorType& right = s.in("right");
          s.require(left.dtype != Dtype::i32 && left.dtype == right.dtype, "left and right are both f32 or both bf16");
          s.require(left.shape.rank() == 2 && right.shape.rank() == 2 && left.shape[0] == right.shape[0],
                    "left and right have the same rows");
          s.set("x", left.dtype, {left.shape[0], left.shape[1] + right.shape[1]});
        },
    .gradient =
        [](Gradient& g) {
          const std::int64_t left = g.instance().in("left").shape.width();
          const auto parts = g.builder().emit("split_columns", {g.of("x")}, {{"left", left}});
          g.set("left", parts[0]);
          g.set("right", parts[1]);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = traffic(i)}; },
    .reference = concat_columns_reference<float>,
    .reference64 = concat_columns_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          struct Case {
            std::int64_t rows, left, right;
          };
          for (const Case c : {Case{1, 1, 1}, Case{3, 2, 5}, Case{2, 64, 1}, Case{5, 63, 65}, Case{3, 512, 64}, Case{65, 8, 16}}) {
            examples.push_back({{f32_type({c.rows, c.left}), f32_type({c.rows, c.right})}, {}});
            examples.push_back({{bf16_type({c.rows, c.left}), bf16_type({c.rows, c.right})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
