// The first `left` columns of x, and the others.      x [N, a+b]   →   left [N,a]   right [N,b]      f32 or bf16
//
// Gradient: dx = concat_columns(dleft, dright).
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Element>
void split(const Memory& memory) {
  const auto* x = static_cast<const Element*>(memory.input_bytes(0));
  auto* left = static_cast<Element*>(memory.output_bytes(0));
  auto* right = static_cast<Element*>(memory.output_bytes(1));
  const std::int64_t width = memory.in("x").shape.width();
  const std::int64_t left_width = memory.integer("left");
  for (std::int64_t row = 0; row < memory.in("x").shape.rows(); ++row) {
    for (std::int64_t c = 0; c < width; ++c) {
      const Element value = x[row * width + c];
      if (c < left_width) {
        left[row * left_width + c] = value;
      } else {
        right[row * (width - left_width) + c - left_width] = value;
      }
    }
  }
}

template <typename Real>
void split_columns_reference(const Memory& memory) {
  memory.in("x").dtype == Dtype::bf16 ? split<std::uint16_t>(memory) : split<Real>(memory);
}

}  // namespace

extern const Op split_columns;
const Op split_columns{
    .name = "split_columns",
    .inputs = {"x"},
    .outputs = {"left", "right"},
    .attributes = {"left"},
    .shapes =
        [](Shapes& s) {
          const TensorType& x = s.in("x");
          const std::int64_t left = s.integer("left");
          s.require(x.dtype != Dtype::i32 && x.shape.rank() == 2, "x is [N, a+b], f32 or bf16");
          s.require(left > 0 && left < x.shape.width(), "both parts have columns");
          s.set("left", x.dtype, {x.shape.rows(), left});
          s.set("right", x.dtype, {x.shape.rows(), x.shape.width() - left});
        },
    .gradient =
        [](Gradient& g) {
          g.set("x", g.builder().emit1("concat_columns", {g.of("left"), g.of("right")}));
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = traffic(i)}; },
    .reference = split_columns_reference<float>,
    .reference64 = split_columns_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          struct Case {
            std::int64_t rows, width, left;
          };
          for (const Case c : {Case{1, 2, 1}, Case{3, 7, 2}, Case{2, 65, 64}, Case{5, 128, 63}, Case{3, 576, 512}, Case{65, 24, 8}}) {
            examples.push_back({{f32_type({c.rows, c.width})}, {{"left", c.left}}});
            examples.push_back({{bf16_type({c.rows, c.width})}, {{"left", c.left}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
