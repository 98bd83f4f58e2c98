// y = x as another type.      x f32 or bf16   →   y, of the type `to` names: 0 f32, 1 bf16
//
// f32 → bf16 rounds to nearest even; a subnormal becomes zero of its sign, NaN 0x7FC0. bf16 → f32 widens exactly.
//
// Gradient: dx = dy, both being f32.
#include <algorithm>

#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void cast_reference(const Memory& memory) {
  const std::int64_t count = memory.in("x").shape.count();
  const Operand<Real> x(memory, "x");
  if (memory.out("y").dtype == Dtype::f32) {
    Real* y = real_out<Real>(memory, "y");
    for (std::int64_t i = 0; i < count; ++i) y[i] = x[i];
  } else if (x.bf16()) {
    std::copy_n(memory.bf16("x"), count, memory.bf16_out("y"));
  } else {
    std::uint16_t* y = memory.bf16_out("y");
    for (std::int64_t i = 0; i < count; ++i) y[i] = math::bf16_from_f32(static_cast<float>(x[i]));
  }
}

}  // namespace

extern const Op cast;
const Op cast{
    .name = "cast",
    .inputs = {"x"},
    .outputs = {"y"},
    .attributes = {"to"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("x").dtype != Dtype::i32, "x is f32 or bf16");
          s.require(s.integer("to") == 0 || s.integer("to") == 1, "to is 0 (f32) or 1 (bf16)");
          s.set("y", s.integer("to") == 0 ? Dtype::f32 : Dtype::bf16, s.in("x").shape);
        },
    .gradient = [](Gradient& g) { g.set("x", g.of("y")); },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = traffic(i)}; },
    .reference = cast_reference<float>,
    .reference64 = cast_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1}, Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{2, 513}, Shape{2, 3, 65}}) {
            examples.push_back({{f32_type(shape)}, {{"to", 1}}});
            examples.push_back({{bf16_type(shape)}, {{"to", 0}}});
          }
          examples.push_back({{f32_type({3, 5})}, {{"to", 0}}});
          examples.push_back({{bf16_type({3, 5})}, {{"to", 1}}});
          return examples;
        },
};

}  // namespace godwit::program
