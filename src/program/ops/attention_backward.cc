// The gradient of attention. Letters as there; do [N, H·v] f32.
//   q, kv, k_pe T   o, m, l, do   samples   →   dq [N, H·(n+r)], dkv [N, H·(n+v)], dk_pe [N, r]
//
//   P_tj = exp(z_tj − m_t) / l_t,   D_t = do_t·o_t,   dP_tj = do_t·value_j,   dS_tj = P_tj·(dP_tj − D_t)·scale      (j ≤ t)
//   dq_t = Σ_j dS_tj·k_j,   dk_j = Σ_t dS_tj·q_t,   dvalue_j = Σ_t P_tj·do_t;   dk_pe adds the heads' rotary parts, heads ascending.
// With bf16 operands do, P and dS are cast before the products they enter; D takes do as it is. Rows of no sample: zeros.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

// DOT over the rows t of a sample where rows before `first` contribute nothing: their segments and places count, their values do not.
template <typename Real, typename A, typename B>
Real dot_from(bool bf16, std::int64_t first, std::int64_t count, A a, B b) {
  auto tree = sum_tree<Real>();
  for (std::int64_t begin = 0; begin < count; begin += segment_length) {
    const std::int64_t end = std::min(count, begin + segment_length);
    const auto visible = [&](std::int64_t t, auto x) { return t < first ? Real(0) : x(t); };
    tree.push(end <= first
                  ? Real(0)
                  : dot_chain<Real>(
                        bf16, begin, end, [&](std::int64_t t) { return visible(t, a); }, [&](std::int64_t t) { return visible(t, b); }));
  }
  return finish<Real>(tree);
}

template <typename Real>
void attention_backward_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> kv(memory, "kv");
  const Operand<Real> k_pe(memory, "k_pe");
  const Real* o = real_in<Real>(memory, "o");
  const Real* m = real_in<Real>(memory, "m");
  const Real* l = real_in<Real>(memory, "l");
  const Real* d_o = real_in<Real>(memory, "do");
  const std::int32_t* samples = memory.i32("samples");
  Real* dq = real_out<Real>(memory, "dq");
  Real* dkv = real_out<Real>(memory, "dkv");
  Real* dk_pe = real_out<Real>(memory, "dk_pe");
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t nope = memory.integer("nope");
  const std::int64_t value_width = memory.integer("value");
  const std::int64_t rotary = memory.in("k_pe").shape[1];
  const std::int64_t key_width = nope + rotary;
  const std::int64_t kv_width = nope + value_width;
  const auto scale = static_cast<Real>(memory.real("scale"));
  const bool bf16 = q.bf16();

  std::fill_n(dq, memory.out("dq").shape.count(), Real(0));
  std::fill_n(dkv, memory.out("dkv").shape.count(), Real(0));
  std::fill_n(dk_pe, memory.out("dk_pe").shape.count(), Real(0));
  for (std::int64_t s = 0; s + 1 < memory.in("samples").shape.count(); ++s) {
    const std::int64_t first = samples[s];
    const std::int64_t rows = samples[s + 1] - first;
    std::vector<Real> p(static_cast<std::size_t>(rows * rows));
    std::vector<Real> ds(static_cast<std::size_t>(rows * rows));
    for (std::int64_t h = 0; h < heads; ++h) {
      // Places of row t, head h of the sample, and what enters the products.
      const auto head_row = [&](std::int64_t t) { return (first + t) * heads + h; };
      const auto query = [&](std::int64_t t, std::int64_t i) { return q[head_row(t) * key_width + i]; };
      const auto key = [&](std::int64_t j, std::int64_t i) {
        return i < nope ? kv[head_row(j) * kv_width + i] : k_pe[(first + j) * rotary + i - nope];
      };
      const auto value = [&](std::int64_t j, std::int64_t c) { return kv[head_row(j) * kv_width + nope + c]; };
      const auto do_cast = [&](std::int64_t t, std::int64_t c) { return rounded(d_o[head_row(t) * value_width + c], bf16); };
      const auto pair = [&](std::int64_t t, std::int64_t j) { return static_cast<std::size_t>(t * rows + j); };

      for (std::int64_t t = 0; t < rows; ++t) {
        const Real* o_t = o + head_row(t) * value_width;
        const Real* do_t = d_o + head_row(t) * value_width;
        const Real d = row_dot<Real>(
            value_width, [&](std::int64_t c) { return do_t[c]; }, [&](std::int64_t c) { return o_t[c]; });
        for (std::int64_t j = 0; j <= t; ++j) {
          const Real z = dot<Real>(
                             bf16, key_width, [&](std::int64_t i) { return query(t, i); }, [&](std::int64_t i) { return key(j, i); }) *
                         scale;
          const Real dp = dot<Real>(
              bf16, value_width, [&](std::int64_t c) { return do_cast(t, c); }, [&](std::int64_t c) { return value(j, c); });
          p[pair(t, j)] = math::exp(z - m[head_row(t)]) / l[head_row(t)];
          ds[pair(t, j)] = (p[pair(t, j)] * (dp - d)) * scale;
        }
        for (std::int64_t i = 0; i < key_width; ++i) {
          dq[head_row(t) * key_width + i] = dot<Real>(
              bf16, t + 1, [&](std::int64_t j) { return rounded(ds[pair(t, j)], bf16); }, [&](std::int64_t j) { return key(j, i); });
        }
      }
      for (std::int64_t j = 0; j < rows; ++j) {
        for (std::int64_t i = 0; i < key_width; ++i) {
          const Real dk = dot_from<Real>(
              bf16, j, rows, [&](std::int64_t t) { return rounded(ds[pair(t, j)], bf16); }, [&](std::int64_t t) { return query(t, i); });
          if (i < nope) {
            dkv[head_row(j) * kv_width + i] = dk;
          } else {
            Real& shared = dk_pe[(first + j) * rotary + i - nope];
            shared = shared + dk;
          }
        }
        for (std::int64_t c = 0; c < value_width; ++c) {
          dkv[head_row(j) * kv_width + nope + c] = dot_from<Real>(
              bf16, j, rows, [&](std::int64_t t) { return rounded(p[pair(t, j)], bf16); }, [&](std::int64_t t) { return do_cast(t, c); });
        }
      }
    }
  }
}

// o, m and l as the forward pass leaves them.
void attend_forward(Fill& f) {
  const Op& attention = *find_op("attention");
  std::vector<TensorType> inputs, outputs;
  std::vector<const void*> from;
  std::vector<void*> to;
  for (const auto& name : attention.inputs) {
    inputs.push_back(f.in(name));
    from.push_back(f.bytes(name));
  }
  for (const auto& name : attention.outputs) {
    outputs.push_back(f.in(name));
    to.push_back(f.bytes(name));
  }
  attention.reference(Memory(attention, inputs, outputs, f.attributes(), from, to));
}

std::vector<Example> attention_backward_examples() {
  std::vector<Example> examples;
  const auto add = [&](Dtype dtype, std::int64_t rows, std::int64_t heads, std::int64_t nope, std::int64_t rotary, std::int64_t value,
                       std::int64_t samples) {
    examples.push_back(
        {.inputs = {{dtype, {rows, heads * (nope + rotary)}},
                    {dtype, {rows, heads * (nope + value)}},
                    {dtype, {rows, rotary}},
                    {Dtype::f32, {rows, heads * value}},
                    {Dtype::f32, {rows, heads}},
                    {Dtype::f32, {rows, heads}},
                    {Dtype::f32, {rows, heads * value}},
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
  }
  add(Dtype::f32, 1040, 1, 1, 2, 1, 1);
  return examples;
}

}  // namespace

extern const Op attention_backward;
const Op attention_backward{
    .name = "attention_backward",
    .inputs = {"q", "kv", "k_pe", "o", "m", "l", "do", "samples"},
    .outputs = {"dq", "dkv", "dk_pe"},
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
          s.require(s.in("o").shape == Shape{rows, heads * s.integer("value")}, "o is [rows, heads·value]");
          s.require(s.in("do").shape == s.in("o").shape, "do and o have the same shape");
          s.require(s.in("m").shape == Shape{rows, heads} && s.in("l").shape == Shape{rows, heads}, "m and l are [rows, heads]");
          s.set("dq", Dtype::f32, s.in("q").shape);
          s.set("dkv", Dtype::f32, s.in("kv").shape);
          s.set("dk_pe", Dtype::f32, s.in("k_pe").shape);
        },
    .cost =
        [](const Instance& i) {
          const double pairs = causal_pairs(i.in("q").shape[0], i.in("samples").shape);
          const auto heads = static_cast<double>(i.integer("heads"));
          const auto key_width = static_cast<double>(i.integer("nope") + i.in("k_pe").shape[1]);
          const auto value_width = static_cast<double>(i.integer("value"));
          // z, dq and dk are as wide as a key; dP and dvalue as a value.
          return Cost{.flops = 2 * pairs * heads * (3 * key_width + 2 * value_width), .bytes = traffic(i)};
        },
    .reference = attention_backward_reference<float>,
    .reference64 = attention_backward_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("q");
          f.reals("kv");
          f.reals("k_pe");
          f.ordinary_reals("o");
          f.ordinary_reals("m", 1.0f, 4.0f);
          f.positive("l", 1.0f, 8.0f);
          f.reals("do");
          f.samples("samples", f.in("q").shape[0]);
          if (f.ordinary()) attend_forward(f);
        },
    .examples = attention_backward_examples,
};

}  // namespace godwit::program
