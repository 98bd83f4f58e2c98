// y = Σ x² over all elements in row-major order.      x, any shape   →   y [1]
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void sum_of_squares_reference(const Memory& memory) {
  const Real* x = real_in<Real>(memory, "x");
  auto element = [&](std::int64_t i) { return x[i]; };
  real_out<Real>(memory, "y")[0] = row_dot<Real>(memory.in("x").shape.count(), element, element);
}

}  // namespace

extern const Op sum_of_squares;
const Op sum_of_squares{
    .name = "sum_of_squares",
    .inputs = {"x"},
    .outputs = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").dtype == Dtype::f32, "x is f32");
          s.set("y", Dtype::f32, {1});
        },
    .cost = [](const Instance& i) { return Cost{.flops = 2.0 * static_cast<double>(i.in("x").shape.count()), .bytes = traffic(i)}; },
    .reference = sum_of_squares_reference<float>,
    .reference64 = sum_of_squares_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1}, Shape{1, 1}, Shape{7}, Shape{63}, Shape{64}, Shape{65}, Shape{511}, Shape{512}, Shape{513},
                                     Shape{3, 1100}, Shape{3, 7, 129}, Shape{100000}}) {
            examples.push_back({{f32_type(shape)}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
