// Folds kv_b's key part into the query, so that scores are taken against the latent itself (absorbed decode, DeepSeek-V2 §2.1.2).
//   q [N, H·(n+r)] T   w [H·(n+v), c] T   →   y [N, H·(c+r)]
//
// Per head [q_nope | q_pe] becomes [q_nope · w_k | q_pe], w_k the head's first n rows of w; q_pe is widened, not rounded. No gradient.
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

template <typename Real>
void absorb_query_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> w(memory, "w");
  Real* y = real_out<Real>(memory, "y");
  const std::int64_t rows = memory.in("q").shape[0];
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t nope = memory.integer("nope");
  const std::int64_t value_width = memory.integer("value");
  const std::int64_t query_width = memory.in("q").shape[1] / heads;
  const std::int64_t latent = memory.in("w").shape[1];
  const std::int64_t rotary = query_width - nope;
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const std::int64_t query = (t * heads + h) * query_width;
      Real* y_th = y + (t * heads + h) * (latent + rotary);
      for (std::int64_t c = 0; c < latent; ++c) {
        y_th[c] = dot<Real>(
            q.bf16(), nope, [&](std::int64_t i) { return q[query + i]; },
            [&](std::int64_t i) { return w[(h * (nope + value_width) + i) * latent + c]; });
      }
      for (std::int64_t i = 0; i < rotary; ++i) y_th[latent + i] = q[query + nope + i];
    }
  }
}

std::vector<Example> absorb_query_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t nope, std::int64_t rotary, std::int64_t value,
                       std::int64_t latent) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, heads * (nope + rotary)}}, {dtype, {heads * (nope + value), latent}}},
                          .attributes = {{"heads", heads}, {"nope", nope}, {"value", value}}});
    }
  };
  add(1, 1, 1, 2, 1, 1);
  add(5, 3, 5, 2, 3, 7);
  add(17, 4, 32, 16, 32, 63);
  add(2, 2, 513, 4, 3, 9);
  return examples;
}

}  // namespace

extern const Op absorb_query;
const Op absorb_query{
    .name = "absorb_query",
    .inputs = {"q", "w"},
    .outputs = {"y"},
    .attributes = {"heads", "nope", "value"},
    .shapes =
        [](Shapes& s) {
          const Shape& q = s.in("q").shape;
          const Shape& w = s.in("w").shape;
          const std::int64_t heads = s.integer("heads");
          s.require(q.rank() == 2 && q[1] % heads == 0 && q[1] / heads >= s.integer("nope"), "q is [rows, heads·(nope + rotary)]");
          s.require(w.rank() == 2 && w[0] == heads * (s.integer("nope") + s.integer("value")), "w is [heads·(nope + value), latent]");
          s.require(s.in("q").dtype == s.in("w").dtype, "q and w have the same dtype");
          s.set("y", Dtype::f32, {q[0], heads * (w[1] + q[1] / heads - s.integer("nope"))});
        },
    .cost =
        [](const Instance& i) {
          const std::int64_t products = i.in("q").shape[0] * i.integer("heads") * i.integer("nope") * i.in("w").shape[1];
          return Cost{.flops = 2.0 * static_cast<double>(products), .bytes = traffic(i)};
        },
    .reference = absorb_query_reference<float>,
    .reference64 = absorb_query_reference<double>,
    .check = Check::projection,
    .examples = absorb_query_examples,
};

}  // namespace godwit::program
