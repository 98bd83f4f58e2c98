// Load balancing without a loss: an expert below the mean load gains `speed`, one above loses it, and the biases' sum stays the same.
//      bias [E]   counts [E] i32   speed [1]   →   bias_next [E]
//
// sign_e = sgn(Σ counts − E·counts_e), n = Σ sign:  bias_next = bias + speed·(sign_e − n/E).      (arXiv 2408.15664)
#include "program/fill.h"
#include "program/op_words.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void router_bias_update_reference(const Memory& memory) {
  const Real* bias = real_in<Real>(memory, "bias");
  const std::int32_t* counts = memory.i32("counts");
  const Real speed = real_in<Real>(memory, "speed")[0];
  Real* bias_next = real_out<Real>(memory, "bias_next");
  const std::int64_t expert_count = memory.in("bias").shape.count();
  std::int64_t total = 0;
  for (std::int64_t e = 0; e < expert_count; ++e) total += counts[e];
  auto sign = [&](std::int64_t e) -> std::int64_t {
    const std::int64_t below_mean = total - expert_count * counts[e];
    return below_mean > 0 ? 1 : below_mean < 0 ? -1 : 0;
  };
  std::int64_t n = 0;
  for (std::int64_t e = 0; e < expert_count; ++e) n += sign(e);
  for (std::int64_t e = 0; e < expert_count; ++e) {
    bias_next[e] = bias[e] + speed * (static_cast<Real>(sign(e)) - static_cast<Real>(n) / static_cast<Real>(expert_count));
  }
}

}  // namespace

extern const Op router_bias_update;
const Op router_bias_update{
    .name = "router_bias_update",
    .inputs = {"bias", "counts", "speed"},
    .outputs = {"bias_next"},
    .in_place = {{"bias_next", "bias"}},
    .shapes =
        [](Shapes& s) {
          const Shape& bias = s.in("bias").shape;
          s.require(s.in("bias").dtype == Dtype::f32 && bias.rank() == 1, "bias is [E], f32");
          s.require(s.in("counts") == i32_type(bias), "counts is [E], i32");
          s.require(s.in("speed") == f32_type({1}), "speed is [1], f32");
          s.set("bias_next", Dtype::f32, bias);
        },
    .cost = [](const Instance& i) { return Cost{.flops = 4.0 * static_cast<double>(i.in("bias").shape.count()), .bytes = traffic(i)}; },
    .reference = router_bias_update_reference<float>,
    .reference64 = router_bias_update_reference<double>,
    .fill =
        [](Fill& f) {
          f.reals("bias", 0.1f);
          f.integers("counts", 0, f.random(2) == 0 ? 3 : 1 << 24);
          f.positive("speed", 1e-4f, 1e-2f);
        },
    .examples =
        [] {
          std::vector<Example> examples;
          for (const std::int64_t experts : {1, 2, 7, 8, 65, 256}) {
            examples.push_back({{f32_type({experts}), i32_type({experts}), f32_type({1})}, {}});
          }
          return examples;
        },
};

}  // namespace godwit::program
