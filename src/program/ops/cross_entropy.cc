// The labels' log-probabilities and their weighted loss.
//      logits [N,V]   lse [N] = log_sum_exp(logits)   labels [N] i32   weights [N]   samples [S+1] i32   →   logprob [N]   loss [1]
//
// logprob_t = logits[t, label_t] − lse_t;  loss = −Σ_t weight_t·logprob_t. A row whose label lies outside [0,V) has logprob 0 and adds
// nothing.
//
// Gradient: begins the chain, by cross_entropy_backward; what reaches logits through lse is contained in it.
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void cross_entropy_reference(const Memory& memory) {
  const Real* logits = real_in<Real>(memory, "logits");
  const Real* lse = real_in<Real>(memory, "lse");
  const std::int32_t* labels = memory.i32("labels");
  const Real* weights = real_in<Real>(memory, "weights");
  Real* logprob = real_out<Real>(memory, "logprob");
  const std::int64_t vocabulary = memory.in("logits").shape.width();
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  auto labelled = [&](std::int64_t t) { return labels[t] >= 0 && labels[t] < vocabulary; };
  for (std::int64_t t = 0; t < memory.in("labels").shape.count(); ++t) {
    logprob[t] = labelled(t) ? logits[t * vocabulary + labels[t]] - lse[t] : Real(0);
  }
  real_out<Real>(memory, "loss")[0] = over_samples<Real>(memory.i32("samples"), sample_count, [&](std::int64_t first, std::int64_t rows) {
    return dot<Real>(
        false, rows, [&](std::int64_t t) { return labelled(first + t) ? weights[first + t] : Real(0); },
        [&](std::int64_t t) { return -logprob[first + t]; });
  });
}

}  // namespace

extern const Op cross_entropy;
const Op cross_entropy{
    .name = "cross_entropy",
    .inputs = {"logits", "lse", "labels", "weights", "samples"},
    .outputs = {"logprob", "loss"},
    .loss = true,
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,V], f32");
          s.require(s.in("lse") == f32_type({logits[0]}), "lse is [N], f32");
          s.require(s.in("labels") == i32_type({logits[0]}), "labels is [N], i32");
          s.require(s.in("weights") == f32_type({logits[0]}), "weights is [N], f32");
          s.require(is_samples(s.in("samples")), "samples is [S+1], i32");
          s.set("logprob", Dtype::f32, {logits[0]});
          s.set("loss", Dtype::f32, {1});
        },
    .gradient =
        [](Gradient& g) {
          g.set("logits", g.builder().emit1("cross_entropy_backward", {g.in("logits"), g.in("lse"), g.in("labels"), g.in("weights")}));
        },
    .cost =
        [](const Instance& i) {
          const auto rows = static_cast<double>(i.in("labels").shape.count());
          return Cost{.flops = 3 * rows, .bytes = 5 * rows * sizeof(float)};  // one logit of each row is read
        },
    .reference = cross_entropy_reference<float>,
    .reference64 = cross_entropy_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("logits");
          f.ordinary_reals("lse", 0.5f, math::log(static_cast<float>(f.in("logits").shape.width())) + 0.5f);
          f.integers("labels", -1, static_cast<std::int32_t>(f.in("logits").shape.width()));
          f.reals("weights");
          const std::int64_t rows = f.in("logits").shape.rows();
          f.samples("samples", rows);
          // Padding rows carry no label: only so is the loss what cross_entropy_backward, which sees no samples, differentiates.
          for (std::int64_t t = f.i32("samples").back(); t < rows; ++t) f.i32("labels")[static_cast<std::size_t>(t)] = -1;
        },
    .examples =
        [] {
          struct Case {
            std::int64_t rows, vocabulary, samples;
          };
          std::vector<Example> examples;
          for (const Case c : {Case{1, 1, 1}, Case{3, 7, 2}, Case{5, 9, 0}, Case{17, 65, 5}, Case{64, 64, 3}, Case{511, 5, 1},
                               Case{512, 5, 1}, Case{513, 5, 1}, Case{1100, 3, 1}, Case{1300, 7, 4}}) {
            const TensorType per_row = f32_type({c.rows});
            examples.push_back({{f32_type({c.rows, c.vocabulary}), per_row, i32_type({c.rows}), per_row, i32_type({c.samples + 1})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
