// y = (gate·sigmoid(gate))·up, element by element.      gate, up [N,I]   →   y [N,I]
//
// Gradient: swiglu_backward.
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void swiglu_reference(const Memory& memory) {
  const Real* gate = real_in<Real>(memory, "gate");
  const Real* up = real_in<Real>(memory, "up");
  Real* y = real_out<Real>(memory, "y");
  for (std::int64_t i = 0; i < memory.in("gate").shape.count(); ++i) y[i] = (gate[i] * sigmoid_of<Real>(gate[i])) * up[i];
}

}  // namespace

extern const Op swiglu;
const Op swiglu{
    .name = "swiglu",
    .inputs = {"gate", "up"},
    .outputs = {"y"},
    .in_place = {{"y", "gate"}, {"y", "up"}},
    .rounds = {"y"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("gate").dtype == Dtype::f32 && s.in("gate") == s.in("up"), "gate and up are f32 of one shape");
          s.set("y", Dtype::f32, s.in("gate").shape);
        },
    .gradient =
        [](Gradient& g) {
          const auto gradients = g.builder().emit("swiglu_backward", {g.in("gate"), g.in("up"), g.of("y")});
          g.set("gate", gradients[0]);
          g.set("up", gradients[1]);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 20.0 * static_cast<double>(i.in("gate").shape.count()), .bytes = traffic(i)}; },
    .reference = swiglu_reference<float>,
    .reference64 = swiglu_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{2, 65}, Shape{2, 513}, Shape{33, 192}}) {
            examples.push_back({{f32_type(shape), f32_type(shape)}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
