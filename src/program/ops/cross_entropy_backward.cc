// dlogits of cross_entropy with log_sum_exp.      logits [N,V]   lse [N]   labels [N] i32   weights [N]   →   dlogits [N,V]
//
// p = exp(logits − lse):  dlogits_ti = (p_ti − [i = label_t])·weight_t; unlabelled rows zero.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void cross_entropy_backward_reference(const Memory& memory) {
  const Real* logits = real_in<Real>(memory, "logits");
  const Real* lse = real_in<Real>(memory, "lse");
  const std::int32_t* labels = memory.i32("labels");
  const Real* weights = real_in<Real>(memory, "weights");
  Real* dlogits = real_out<Real>(memory, "dlogits");
  const std::int64_t vocabulary = memory.in("logits").shape.width();
  for (std::int64_t t = 0; t < memory.in("labels").shape.count(); ++t) {
    const bool labelled = labels[t] >= 0 && labels[t] < vocabulary;
    for (std::int64_t i = 0; i < vocabulary; ++i) {
      const Real p = math::exp(logits[t * vocabulary + i] - lse[t]);
      dlogits[t * vocabulary + i] = labelled ? (p - Real(i == labels[t] ? 1 : 0)) * weights[t] : Real(0);
    }
  }
}

}  // namespace

extern const Op cross_entropy_backward;
const Op cross_entropy_backward{
    .name = "cross_entropy_backward",
    .inputs = {"logits", "lse", "labels", "weights"},
    .outputs = {"dlogits"},
    .in_place = {{"dlogits", "logits"}},
    .rounds = {"dlogits"},
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,V], f32");
          s.require(s.in("lse") == f32_type({logits[0]}), "lse is [N], f32");
          s.require(s.in("labels") == i32_type({logits[0]}), "labels is [N], i32");
          s.require(s.in("weights") == f32_type({logits[0]}), "weights is [N], f32");
          s.set("dlogits", Dtype::f32, logits);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 20.0 * static_cast<double>(i.in("logits").shape.count()), .bytes = traffic(i)}; },
    .reference = cross_entropy_backward_reference<float>,
    .reference64 = cross_entropy_backward_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("logits");
          f.ordinary_reals("lse", 0.5f, math::log(static_cast<float>(f.in("logits").shape.width())) + 0.5f);
          f.integers("labels", -1, static_cast<std::int32_t>(f.in("logits").shape.width()));
          f.reals("weights");
        },
    .examples =
        [] {
          std::vector<Example> examples;
          for (const Shape& shape : {Shape{1, 1}, Shape{3, 7}, Shape{5, 64}, Shape{17, 65}, Shape{9, 259}, Shape{2, 513}, Shape{3, 1100}}) {
            examples.push_back({{f32_type(shape), f32_type({shape[0]}), i32_type({shape[0]}), f32_type({shape[0]})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
