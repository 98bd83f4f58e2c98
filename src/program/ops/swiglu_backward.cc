// dgate and dup of swiglu.      gate, up, dy [N,I]   →   dgate, dup [N,I]
//
// s = sigmoid(gate):  dup = dy·(gate·s),  dgate = (dy·up)·(s·(1 + gate·(1 − s))).
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void swiglu_backward_reference(const Memory& memory) {
  const Real* gate = real_in<Real>(memory, "gate");
  const Real* up = real_in<Real>(memory, "up");
  const Real* dy = real_in<Real>(memory, "dy");
  Real* dgate = real_out<Real>(memory, "dgate");
  Real* dup = real_out<Real>(memory, "dup");
  for (std::int64_t i = 0; i < memory.in("gate").shape.count(); ++i) {
    const Real s = sigmoid_of<Real>(gate[i]);
    dup[i] = dy[i] * (gate[i] * s);
    dgate[i] = (dy[i] * up[i]) * (s * fma_of<Real>(gate[i], Real(1) - s, Real(1)));
  }
}

}  // namespace

extern const Op swiglu_backward;
const Op swiglu_backward{
    .name = "swiglu_backward",
    .inputs = {"gate", "up", "dy"},
    .outputs = {"dgate", "dup"},
    .in_place = {{"dgate", "gate"}, {"dup", "up"}},
    .rounds = {"dgate", "dup"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("gate").dtype == Dtype::f32 && s.in("gate") == s.in("up"), "gate and up are f32 of one shape");
          s.require(s.in("dy") == s.in("gate"), "dy has gate's shape");
          s.set("dgate", Dtype::f32, s.in("gate").shape);
          s.set("dup", Dtype::f32, s.in("gate").shape);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 25.0 * static_cast<double>(i.in("gate").shape.count()), .bytes = traffic(i)}; },
    .reference = swiglu_backward_reference<float>,
    .reference64 = swiglu_backward_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{2, 65}, Shape{2, 513}, Shape{33, 192}}) {
            examples.push_back({{f32_type(shape), f32_type(shape), f32_type(shape)}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
