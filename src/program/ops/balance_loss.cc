// Sequence-wise balance loss of a router.      logits [N,E]   experts [N,K] i32   samples [S+1] i32   weight [1]   →   loss [1]
//
// In a sample of T rows, s = sigmoid(logits), h_ti = s_ti / Σ_j s_tj, P_i = mean_t h_ti, f_i = (E / (K·T))·(how often i is chosen):
// loss = weight·Σ_samples Σ_i f_i·P_i      (DeepSeek-V3, equations 17 to 20).
//
// Gradient: begins the chain, by balance_loss_backward, through P alone.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/ops/router_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void balance_loss_reference(const Memory& memory) {
  const Real* logits = real_in<Real>(memory, "logits");
  const std::int32_t* experts = memory.i32("experts");
  const std::int64_t expert_count = memory.in("logits").shape.width();
  const std::int64_t top_k = memory.in("experts").shape.width();
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  const Real total = over_samples<Real>(memory.i32("samples"), sample_count, [&](std::int64_t first, std::int64_t rows) {
    auto s = [&](std::int64_t t, std::int64_t i) { return sigmoid_of<Real>(logits[(first + t) * expert_count + i]); };
    std::vector<Real> q;
    for (std::int64_t t = 0; t < rows; ++t) q.push_back(row_sum<Real>(expert_count, [&](std::int64_t i) { return s(t, i); }));
    std::vector<std::int64_t> counts(static_cast<std::size_t>(expert_count));
    for (std::int64_t k = first * top_k; k < (first + rows) * top_k; ++k) ++counts[static_cast<std::size_t>(experts[k])];
    auto f = [&](std::int64_t i) {
      return static_cast<Real>(expert_count * counts[static_cast<std::size_t>(i)]) / static_cast<Real>(top_k * rows);
    };
    auto p = [&](std::int64_t i) {
      return sum<Real>(rows, [&](std::int64_t t) { return s(t, i) / q[static_cast<std::size_t>(t)]; }) / static_cast<Real>(rows);
    };
    return row_dot<Real>(expert_count, f, p);
  });
  real_out<Real>(memory, "loss")[0] = total * real_in<Real>(memory, "weight")[0];
}

}  // namespace

extern const Op balance_loss;
const Op balance_loss{
    .name = "balance_loss",
    .inputs = {"logits", "experts", "samples", "weight"},
    .outputs = {"loss"},
    .loss = true,
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          const Shape& experts = s.in("experts").shape;
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,E], f32");
          s.require(s.in("experts").dtype == Dtype::i32 && experts.rank() == 2 && experts[0] == logits[0], "experts is [N,K], i32");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.require(s.in("weight") == f32_type({1}), "weight is [1], f32");
          s.set("loss", Dtype::f32, {1});
        },
    .gradient =
        [](Gradient& g) {
          g.set("logits", g.builder().emit1("balance_loss_backward", {g.in("logits"), g.in("experts"), g.in("samples"), g.in("weight")}));
        },
    .cost = [](const Instance& i) { return Cost{.flops = 25.0 * static_cast<double>(i.in("logits").shape.count()), .bytes = traffic(i)}; },
    .reference = balance_loss_reference<float>,
    .reference64 = balance_loss_reference<double>,
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
