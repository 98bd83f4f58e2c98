// Causal attention inside each sample, with DeepSeek's split keys (multi-head latent attention, expanded form).
//   q [N, H·(n+r)] T   kv [N, H·(n+v)] T   k_pe [N, r] T   samples [S+1]   →   o [N, H·v], m [N, H], l [N, H]
//
// Head h of q is [q_nope | q_pe], of kv [k_nope | value]; the key of row j is [k_nope of its head | k_pe, shared by all heads].
//   z_tj = scale · q_t·k_j,   m_t = max_j z_tj,   l_t = Σ_j exp(z_tj − m_t),   o_t = Σ_j exp(z_tj − m_t)·value_j / l_t,   j ≤ t.
// m and l are saved for the backward op (FlashAttention-2's, its logsumexp kept as two). Rows of no sample: zeros.
//
// Gradient:  attention_backward, which makes the probabilities again from m and l.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/attention_row.h"
#include "program/ops/cost_rules.h"
#include "program/program.h"

namespace godwit::program {
namespace {

template <typename Real>
void attention_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> kv(memory, "kv");
  const Operand<Real> k_pe(memory, "k_pe");
  const std::int32_t* samples = memory.i32("samples");
  Real* o = real_out<Real>(memory, "o");
  Real* m = real_out<Real>(memory, "m");
  Real* l = real_out<Real>(memory, "l");
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t nope = memory.integer("nope");
  const std::int64_t value_width = memory.integer("value");
  const std::int64_t rotary = memory.in("k_pe").shape[1];
  const std::int64_t key_width = nope + rotary;
  const std::int64_t kv_width = nope + value_width;
  const auto scale = static_cast<Real>(memory.real("scale"));

  std::fill_n(o, memory.out("o").shape.count(), Real(0));
  std::fill_n(m, memory.out("m").shape.count(), Real(0));
  std::fill_n(l, memory.out("l").shape.count(), Real(0));
  for (std::int64_t s = 0; s + 1 < memory.in("samples").shape.count(); ++s) {
    const std::int64_t first = samples[s];
    for (std::int64_t t = first; t < samples[s + 1]; ++t) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const auto query = [&](std::int64_t i) { return q[(t * heads + h) * key_width + i]; };
        const auto key = [&](std::int64_t j, std::int64_t i) {
          return i < nope ? kv[((first + j) * heads + h) * kv_width + i] : k_pe[(first + j) * rotary + i - nope];
        };
        const auto value = [&](std::int64_t j, std::int64_t c) { return kv[((first + j) * heads + h) * kv_width + nope + c]; };
        const auto row = attend<Real>(q.bf16(), t - first + 1, key_width, value_width, scale, query, key, value);
        m[t * heads + h] = row.m;
        l[t * heads + h] = row.l;
        std::copy_n(row.o.data(), value_width, o + (t * heads + h) * value_width);
      }
    }
  }
}

std::vector<Example> attention_examples() {
  std::vector<Example> examples;
  const auto add = [&](Dtype dtype, std::int64_t rows, std::int64_t heads, std::int64_t nope, std::int64_t rotary, std::int64_t value,
                       std::int64_t samples) {
    examples.push_back(
        {.inputs = {{dtype, {rows, heads * (nope + rotary)}},
                    {dtype, {rows, heads * (nope + value)}},
                    {dtype, {rows, rotary}},
                    {Dtype::i32, {samples + 1}}},
         .attributes = {{"heads", heads}, {"nope", nope}, {"value", value}, {"scale", 1 / std::sqrt(static_cast<double>(nope + rotary))}}});
  };
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    add(dtype, 1, 1, 1, 2, 1, 1);
    add(dtype, 7, 3, 5, 2, 3, 3);
    add(dtype, 66, 1, 3, 2, 5, 1);
    add(dtype, 70, 2, 16, 8, 16, 2);
    add(dtype, 65, 2, 32, 16, 32, 5);
    add(dtype, 5, 1, 600, 4, 520, 2);
    add(dtype, 540, 1, 2, 2, 3, 1);
    add(dtype, 1040, 1, 1, 2, 1, 1);
  }
  return examples;
}

}  // namespace

extern const Op attention;
const Op attention{
    .name = "attention",
    .inputs = {"q", "kv", "k_pe", "samples"},
    .outputs = {"o", "m", "l"},
    .attributes = {"heads", "nope", "value", "scale"},
    .shapes =
        [](Shapes& s) {
          const std::int64_t rows = s.in("q").shape[0];
          const std::int64_t heads = s.integer("heads");
          const std::int64_t rotary = s.in("k_pe").shape.width();
          const Dtype dtype = s.in("q").dtype;
          s.require(dtype == s.in("kv").dtype && dtype == s.in("k_pe").dtype, "q, kv and k_pe have the same dtype");
          s.require(s.in("q").shape == Shape{rows, heads * (s.integer("nope") + rotary)}, "q is [rows, heads·(nope + rotary)]");
          s.require(s.in("kv").shape == Shape{rows, heads * (s.integer("nope") + s.integer("value"))},
                    "kv is [rows, heads·(nope + value)]");
          s.require(s.in("k_pe").shape == Shape{rows, rotary}, "k_pe is [rows, rotary]");
          s.set("o", Dtype::f32, {rows, heads * s.integer("value")});
          s.set("m", Dtype::f32, {rows, heads});
          s.set("l", Dtype::f32, {rows, heads});
        },
    .gradient =
        [](Gradient& g) {
          const auto gradients = g.builder().emit(
              "attention_backward", {g.in("q"), g.in("kv"), g.in("k_pe"), g.out("o"), g.out("m"), g.out("l"), g.of("o"), g.in("samples")},
              g.instance().attributes());
          g.set("q", gradients[0]);
          g.set("kv", gradients[1]);
          g.set("k_pe", gradients[2]);
        },
    .cost =
        [](const Instance& i) {
          const double pairs = causal_pairs(i.in("q").shape[0], i.in("samples").shape);
          const auto heads = static_cast<double>(i.integer("heads"));
          const auto widths = static_cast<double>(i.integer("nope") + i.in("k_pe").shape[1] + i.integer("value"));
          return Cost{.flops = 2 * pairs * heads * widths, .bytes = traffic(i)};
        },
    .reference = attention_reference<float>,
    .reference64 = attention_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("q");
          f.reals("kv");
          f.reals("k_pe");
          f.samples("samples", f.in("q").shape[0]);
        },
    .examples = attention_examples,
};

}  // namespace godwit::program
