// lse = M + log(Σ_i exp(logits_i − M)), M the row's largest logit.      logits [N,V]   →   lse [N]
//
// No gradient of its own: cross_entropy's contains it.
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void log_sum_exp_reference(const Memory& memory) {
  const std::int64_t width = memory.in("logits").shape.width();
  for (std::int64_t row = 0; row < memory.in("logits").shape.rows(); ++row) {
    const Real* z = real_in<Real>(memory, "logits") + row * width;
    Real m = -std::numeric_limits<Real>::infinity();
    for (std::int64_t i = 0; i < width; ++i) m = max_of(m, z[i]);
    const Real total = row_sum<Real>(width, [&](std::int64_t i) { return math::exp(z[i] - m); });
    real_out<Real>(memory, "lse")[row] = m + math::log(total);
  }
}

}  // namespace

extern const Op log_sum_exp;
const Op log_sum_exp{
    .name = "log_sum_exp",
    .inputs = {"logits"},
    .outputs = {"lse"},
    .shapes =
        [](Shapes& s) {
          s.require(s.in("logits").dtype == Dtype::f32 && s.in("logits").shape.rank() == 2 && s.in("logits").shape.width() > 0,
                    "logits is [N,V], f32");
          s.set("lse", Dtype::f32, {s.in("logits").shape.rows()});
        },
    .cost = [](const Instance& i) { return Cost{.flops = 20.0 * static_cast<double>(i.in("logits").shape.count()), .bytes = traffic(i)}; },
    .reference = log_sum_exp_reference<float>,
    .reference64 = log_sum_exp_reference<double>,
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{2, 63}, Shape{5, 64}, Shape{2, 65}, Shape{2, 511}, Shape{2, 512},
                                     Shape{2, 513}, Shape{3, 1100}, Shape{2, 2048}}) {
            examples.push_back({{f32_type(shape)}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
