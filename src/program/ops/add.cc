// y = a + b.      a, b of one shape, f32 or i32 (which wraps)   →   y
//
// Gradient: da = db = dy.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void add_reference(const Memory& memory) {
  const std::int64_t count = memory.in("a").shape.count();
  if (memory.in("a").dtype == Dtype::i32) {
    const std::int32_t* a = memory.i32("a");
    const std::int32_t* b = memory.i32("b");
    std::int32_t* y = memory.i32_out("y");
    for (std::int64_t i = 0; i < count; ++i) {
      y[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a[i]) + static_cast<std::uint32_t>(b[i]));
    }
    return;
  }
  const Real* a = real_in<Real>(memory, "a");
  const Real* b = real_in<Real>(memory, "b");
  Real* y = real_out<Real>(memory, "y");
  for (std::int64_t i = 0; i < count; ++i) y[i] = a[i] + b[i];
}

}  // namespace

extern const Op add;
const Op add{
    .name = "add",
    .inputs = {"a", "b"},
    .outputs = {"y"},
    .in_place = {{"y", "a"}, {"y", "b"}},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("a").dtype != Dtype::bf16, "a is f32 or i32");
          s.require(s.in("a") == s.in("b"), "a and b have one type and shape");
          s.set("y", s.in("a").dtype, s.in("a").shape);
        },
    .gradient =
        [](Gradient& g) {
          g.set("a", g.of("y"));
          g.set("b", g.of("y"));
        },
    .cost = [](const Instance& i) { return Cost{.flops = static_cast<double>(i.in("a").shape.count()), .bytes = traffic(i)}; },
    .reference = add_reference<float>,
    .reference64 = add_reference<double>,
    .fill =
        [](Fill& f) {
          if (f.in("a").dtype == Dtype::f32) return f.all_reals();
          f.integers("a", INT32_MIN, INT32_MAX);
          f.integers("b", INT32_MIN, INT32_MAX);
        },
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1}, Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{2, 513}, Shape{2, 3, 65}}) {
            examples.push_back({{f32_type(shape), f32_type(shape)}, {}});
          }
          examples.push_back({{i32_type({1}), i32_type({1})}, {}});
          examples.push_back({{i32_type({37}), i32_type({37})}, {}});
          return examples;
        },
};

}  // namespace godwit::program
