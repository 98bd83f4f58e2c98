// dlogits of router.      logits [N,E]   experts [N,K] i32   dweights [N,K]   →   dlogits [N,E]
//
// With s the chosen experts' sigmoids, q their sum and a = dweights:  ds_k = (scaling/q)·(a_k − Σ_j (s_j/q)·a_j) if normalised, else
// scaling·a_k;  dlogits = ds·s·(1 − s) at the chosen experts, zero elsewhere.
#include <algorithm>
#include <numeric>

#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/ops/router_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void router_backward_reference(const Memory& memory) {
  const std::int64_t expert_count = memory.in("logits").shape.width();
  const std::int64_t top_k = memory.in("experts").shape.width();
  const bool normalize = memory.integer("normalize") != 0;
  const auto scaling = static_cast<Real>(memory.real("scaling"));
  for (std::int64_t row = 0; row < memory.in("logits").shape.rows(); ++row) {
    const Real* logits = real_in<Real>(memory, "logits") + row * expert_count;
    const std::int32_t* experts = memory.i32("experts") + row * top_k;
    const Real* a = real_in<Real>(memory, "dweights") + row * top_k;
    Real* dlogits = real_out<Real>(memory, "dlogits") + row * expert_count;
    auto s = [&](std::int64_t k) { return sigmoid_of<Real>(logits[experts[k]]); };
    Real total = 0;
    for (std::int64_t k = 0; k < top_k; ++k) total = total + s(k);
    const Real q = total + static_cast<Real>(1e-20);
    Real u = 0;
    for (std::int64_t k = 0; k < top_k; ++k) u = fma_of<Real>(s(k) / q, a[k], u);
    std::fill_n(dlogits, expert_count, Real(0));
    for (std::int64_t k = 0; k < top_k; ++k) {
      const Real ds = normalize ? (scaling / q) * (a[k] - u) : scaling * a[k];
      dlogits[experts[k]] = ds * (s(k) * (Real(1) - s(k)));
    }
  }
}

}  // namespace

extern const Op router_backward;
const Op router_backward{
    .name = "router_backward",
    .inputs = {"logits", "experts", "dweights"},
    .outputs = {"dlogits"},
    .attributes = {"normalize", "scaling"},
    .shapes =
        [](Shapes& s) {
          const Shape& logits = s.in("logits").shape;
          const Shape& experts = s.in("experts").shape;
          s.require(s.in("logits").dtype == Dtype::f32 && logits.rank() == 2, "logits is [N,E], f32");
          s.require(s.in("experts").dtype == Dtype::i32 && experts.rank() == 2 && experts[0] == logits[0] && experts[1] <= logits[1],
                    "experts is [N,K], i32, K at most E");
          s.require(s.in("dweights") == f32_type(experts), "dweights is [N,K], f32");
          s.set("dlogits", Dtype::f32, logits);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 25.0 * static_cast<double>(i.in("experts").shape.count()), .bytes = traffic(i)}; },
    .reference = router_backward_reference<float>,
    .reference64 = router_backward_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("logits");
          f.reals("dweights");
          fill_experts(f, "experts", f.in("logits").shape.width());
        },
    .examples =
        [] {
          struct Case {
            std::int64_t rows, experts, top_k, normalize;
            double scaling;
          };
          std::vector<Example> examples;
          for (const Case c : {Case{1, 1, 1, 1, 1.0}, Case{3, 2, 1, 0, 2.5}, Case{13, 7, 3, 1, 2.5}, Case{9, 8, 2, 1, 1.0},
                               Case{9, 8, 8, 0, 2.5}, Case{40, 64, 6, 1, 1.0}, Case{16, 256, 8, 1, 2.5}, Case{4, 515, 5, 0, 2.5}}) {
            examples.push_back({{f32_type({c.rows, c.experts}), i32_type({c.rows, c.top_k}), f32_type({c.rows, c.top_k})},
                                {{"normalize", c.normalize}, {"scaling", c.scaling}}});
          }
          return examples;
        },
};

}  // namespace godwit::program
