// dlogits of balance_loss.      logits [N,E]   experts [N,K] i32   samples [S+1] i32   weight [1]   →   dlogits [N,E]
//
// With balance_loss's letters, w_i = (f_i / T)·weight and u_t = Σ_i w_i·h_ti:  dlogits_ti = ((w_i − u_t) / q_t)·s·(1 − s). Padding rows:
// zero.
#include <algorithm>

#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/ops/router_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void balance_loss_backward_reference(const Memory& memory) {
  const Real* logits = real_in<Real>(memory, "logits");
  const std::int32_t* experts = memory.i32("experts");
  const std::int32_t* samples = memory.i32("samples");
  const Real weight = real_in<Real>(memory, "weight")[0];
  Real* dlogits = real_out<Real>(memory, "dlogits");
  const std::int64_t expert_count = memory.in("logits").shape.width();
  const std::int64_t top_k = memory.in("experts").shape.width();
  std::fill_n(dlogits, memory.in("logits").shape.count(), Real(0));
  for (std::int64_t sample = 0; sample + 1 < memory.in("samples").shape.count(); ++sample) {
    const std::int64_t rows = samples[sample + 1] - samples[sample];
    std::vector<std::int64_t> counts(static_cast<std::size_t>(expert_count));
    for (std::int64_t k = samples[sample] * top_k; k < samples[sample + 1] * top_k; ++k) ++counts[static_cast<std::size_t>(experts[k])];
    auto w = [&](std::int64_t i) {
      const Real f = static_cast<Real>(expert_count * counts[static_cast<std::size_t>(i)]) / static_cast<Real>(top_k * rows);
      return (f / static_cast<Real>(rows)) * weight;
    };
    for (std::int64_t t = samples[sample]; t < samples[sample + 1]; ++t) {
      auto s = [&](std::int64_t i) { return sigmoid_of<Real>(logits[t * expert_count + i]); };
      const Real q = row_sum<Real>(expert_count, s);
      const Real u = row_dot<Real>(expert_count, w, [&](std::int64_t i) { return s(i) / q; });
      for (std::int64_t i = 0; i < expert_count; ++i) dlogits[t * expert_count + i] = ((w(i) - u) / q) * (s(i) * (Real(1) - s(i)));
    }
  }
}

}  // namespace

extern const Op balance_loss_backward;
const Op balance_loss_backward{
    .name = "balance_loss_backward",
    .inputs = {"logits", "experts", "samples", "weight"},
    .outputs = {"dlogits"},
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          const Shape& experts = s.in("experts").shape;
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,E], f32");
          s.require(s.in("experts").dtype == Dtype::i32 && experts.rank() == 2 && experts[0] == logits[0], "experts is [N,K], i32");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.require(s.in("weight") == f32_type({1}), "weight is [1], f32");
          s.set("dlogits", Dtype::f32, logits);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 30.0 * static_cast<double>(i.in("logits").shape.count()), .bytes = traffic(i)}; },
    .reference = balance_loss_backward_reference<float>,
    .reference64 = balance_loss_backward_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("logits");
          fill_experts(f, "experts", f.in("logits").shape.width());
          f.samples("samples", f.in("logits").shape.rows());
          f.positive("weight", 1e-4f, 1.0f);
        },
    .examples = balance_loss_examples,
};

}  // namespace godwit::program
