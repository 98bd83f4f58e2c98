// Attention over the cached latent itself (absorbed decode): key [latent | k_pe] and value latent, shared by all heads.
//   q [N, H·(c+r)] T   latent [C, P, c] T   k_pe [C, P, r] T   slots [N]   positions [N]   →   o [N, H·c]
//
// The rule of attention for row `position` of the stream. Rows whose slot or position lies outside the cache (padding: slot −1) are zeros.
// No gradient.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/attention_row.h"
#include "program/ops/cost_rules.h"
#include "program/ops/fill_rules.h"

namespace godwit::program {
namespace {

template <typename Real>
void attention_latent_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> latent(memory, "latent");
  const Operand<Real> k_pe(memory, "k_pe");
  const std::int32_t* slots = memory.i32("slots");
  const std::int32_t* positions = memory.i32("positions");
  Real* o = real_out<Real>(memory, "o");
  const std::int64_t streams = memory.in("latent").shape[0];
  const std::int64_t capacity = memory.in("latent").shape[1];
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t width = memory.in("latent").shape[2];
  const std::int64_t rotary = memory.in("k_pe").shape[2];
  const std::int64_t key_width = width + rotary;
  const auto scale = static_cast<Real>(memory.real("scale"));

  std::fill_n(o, memory.out("o").shape.count(), Real(0));
  for (std::int64_t t = 0; t < memory.in("q").shape[0]; ++t) {
    if (slots[t] < 0 || slots[t] >= streams || positions[t] < 0 || positions[t] >= capacity) continue;
    const std::int64_t first = slots[t] * capacity;
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto query = [&](std::int64_t i) { return q[(t * heads + h) * key_width + i]; };
      const auto key = [&](std::int64_t j, std::int64_t i) {
        return i < width ? latent[(first + j) * width + i] : k_pe[(first + j) * rotary + i - width];
      };
      const auto value = [&](std::int64_t j, std::int64_t c) { return latent[(first + j) * width + c]; };
      const auto row = attend<Real>(q.bf16(), positions[t] + 1, key_width, width, scale, query, key, value);
      std::copy_n(row.o.data(), width, o + (t * heads + h) * width);
    }
  }
}

std::vector<Example> attention_latent_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t latent, std::int64_t rotary, std::int64_t streams,
                       std::int64_t capacity) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back({.inputs = {{dtype, {rows, heads * (latent + rotary)}},
                                     {dtype, {streams, capacity, latent}},
                                     {dtype, {streams, capacity, rotary}},
                                     {Dtype::i32, {rows}},
                                     {Dtype::i32, {rows}}},
                          .attributes = {{"heads", heads}, {"scale", 1 / std::sqrt(static_cast<double>(latent + rotary))}}});
    }
  };
  add(1, 1, 1, 2, 1, 1);
  add(6, 3, 5, 2, 2, 9);
  add(9, 2, 33, 8, 4, 65);
  add(2, 1, 520, 4, 2, 6);
  add(3, 2, 7, 4, 2, 513);
  add(3, 2, 8, 4, 2, 1600);
  return examples;
}

}  // namespace

extern const Op attention_latent;
const Op attention_latent{
    .name = "attention_latent",
    .inputs = {"q", "latent", "k_pe", "slots", "positions"},
    .outputs = {"o"},
    .attributes = {"heads", "scale"},
    .shapes =
        [](Shapes& s) {
          const std::int64_t rows = s.in("q").shape[0];
          const std::int64_t heads = s.integer("heads");
          const Shape& latent = s.in("latent").shape;
          const Shape& k_pe = s.in("k_pe").shape;
          const Dtype dtype = s.in("q").dtype;
          s.require(dtype == s.in("latent").dtype && dtype == s.in("k_pe").dtype, "q, latent and k_pe have the same dtype");
          s.require(latent.rank() == 3 && k_pe == Shape{latent[0], latent[1], k_pe.width()}, "latent and k_pe are caches of one size");
          s.require(s.in("q").shape == Shape{rows, heads * (latent[2] + k_pe[2])}, "q is [rows, heads·(latent + rotary)]");
          s.require(s.in("slots").shape.count() == rows && s.in("positions").shape.count() == rows, "every row has a slot and a position");
          s.set("o", Dtype::f32, {rows, heads * latent[2]});
        },
    // Every row as if its stream were full: the positions are known on the device only.
    .cost =
        [](const Instance& i) {
          const auto pairs = static_cast<double>(i.in("q").shape[0] * i.in("latent").shape[1]);
          const auto heads = static_cast<double>(i.integer("heads"));
          const auto widths = static_cast<double>(2 * i.in("latent").shape[2] + i.in("k_pe").shape[2]);
          return Cost{.flops = 2 * pairs * heads * widths, .bytes = traffic(i)};
        },
    .reference = attention_latent_reference<float>,
    .reference64 = attention_latent_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("q");
          f.reals("latent");
          f.reals("k_pe");
          fill_streams(f, f.in("latent").shape[0], f.in("latent").shape[1]);
        },
    .examples = attention_latent_examples,
};

}  // namespace godwit::program
