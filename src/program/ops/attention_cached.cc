// One row of attention for each of N streams' rows, its keys and values read from the cache (expanded decode): the bits of attention for
// row `position` of a sample whose rows are the stream's cache rows 0 … position.
//   q [N, H·(n+r)] T   kv [C, P, H·(n+v)] T   k_pe [C, P, r] T   slots [N]   positions [N]   →   o [N, H·v]
//
// Rows whose slot or position lies outside the cache (padding: slot −1) are zeros. No gradient.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/attention_row.h"
#include "program/ops/cost_rules.h"
#include "program/ops/fill_rules.h"

namespace godwit::program {
namespace {

template <typename Real>
void attention_cached_reference(const Memory& memory) {
  const Operand<Real> q(memory, "q");
  const Operand<Real> kv(memory, "kv");
  const Operand<Real> k_pe(memory, "k_pe");
  const std::int32_t* slots = memory.i32("slots");
  const std::int32_t* positions = memory.i32("positions");
  Real* o = real_out<Real>(memory, "o");
  const std::int64_t streams = memory.in("kv").shape[0];
  const std::int64_t capacity = memory.in("kv").shape[1];
  const std::int64_t heads = memory.integer("heads");
  const std::int64_t nope = memory.integer("nope");
  const std::int64_t value_width = memory.integer("value");
  const std::int64_t rotary = memory.in("k_pe").shape[2];
  const std::int64_t key_width = nope + rotary;
  const std::int64_t kv_width = nope + value_width;
  const auto scale = static_cast<Real>(memory.real("scale"));

  std::fill_n(o, memory.out("o").shape.count(), Real(0));
  for (std::int64_t t = 0; t < memory.in("q").shape[0]; ++t) {
    if (slots[t] < 0 || slots[t] >= streams || positions[t] < 0 || positions[t] >= capacity) continue;
    const std::int64_t first = slots[t] * capacity;
    for (std::int64_t h = 0; h < heads; ++h) {
      const auto query = [&](std::int64_t i) { return q[(t * heads + h) * key_width + i]; };
      const auto key = [&](std::int64_t j, std::int64_t i) {
        return i < nope ? kv[((first + j) * heads + h) * kv_width + i] : k_pe[(first + j) * rotary + i - nope];
      };
      const auto value = [&](std::int64_t j, std::int64_t c) { return kv[((first + j) * heads + h) * kv_width + nope + c]; };
      const auto row = attend<Real>(q.bf16(), positions[t] + 1, key_width, value_width, scale, query, key, value);
      std::copy_n(row.o.data(), value_width, o + (t * heads + h) * value_width);
    }
  }
}

std::vector<Example> attention_cached_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t rows, std::int64_t heads, std::int64_t nope, std::int64_t rotary, std::int64_t value,
                       std::int64_t streams, std::int64_t capacity) {
    for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
      examples.push_back(
          {.inputs = {{dtype, {rows, heads * (nope + rotary)}},
                      {dtype, {streams, capacity, heads * (nope + value)}},
                      {dtype, {streams, capacity, rotary}},
                      {Dtype::i32, {rows}},
                      {Dtype::i32, {rows}}},
           .attributes = {
               {"heads", heads}, {"nope", nope}, {"value", value}, {"scale", 1 / std::sqrt(static_cast<double>(nope + rotary))}}});
    }
  };
  add(1, 1, 1, 2, 1, 1, 1);
  add(6, 3, 5, 2, 3, 2, 9);
  add(9, 2, 16, 8, 16, 4, 65);
  add(2, 1, 600, 4, 520, 2, 6);
  add(3, 2, 7, 4, 9, 2, 513);
  add(4, 2, 8, 4, 8, 2, 1600);
  add(40, 4, 16, 8, 16, 32, 40);
  add(7, 5, 18, 6, 32, 3, 200);
  add(5, 2, 6, 2, 16, 3, 1100);
  return examples;
}

}  // namespace

extern const Op attention_cached;
const Op attention_cached{
    .name = "attention_cached",
    .inputs = {"q", "kv", "k_pe", "slots", "positions"},
    .outputs = {"o"},
    .attributes = {"heads", "nope", "value", "scale"},
    .shapes =
        [](Shapes& s) {
          const std::int64_t rows = s.in("q").shape[0];
          const std::int64_t heads = s.integer("heads");
          const std::int64_t rotary = s.in("k_pe").shape.width();
          const std::int64_t streams = s.in("kv").shape[0];
          const std::int64_t capacity = s.in("kv").shape[1];
          const Dtype dtype = s.in("q").dtype;
          s.require(dtype == s.in("kv").dtype && dtype == s.in("k_pe").dtype, "q, kv and k_pe have the same dtype");
          s.require(s.in("q").shape == Shape{rows, heads * (s.integer("nope") + rotary)}, "q is [rows, heads·(nope + rotary)]");
          s.require(s.in("kv").shape == Shape{streams, capacity, heads * (s.integer("nope") + s.integer("value"))},
                    "kv is [streams, capacity, heads·(nope + value)]");
          s.require(s.in("k_pe").shape == Shape{streams, capacity, rotary}, "k_pe is [streams, capacity, rotary]");
          s.require(s.in("slots").shape.count() == rows && s.in("positions").shape.count() == rows, "every row has a slot and a position");
          s.set("o", Dtype::f32, {rows, heads * s.integer("value")});
        },
    // Every row as if its stream were full: the positions are known on the device only.
    .cost =
        [](const Instance& i) {
          const auto pairs = static_cast<double>(i.in("q").shape[0] * i.in("kv").shape[1]);
          const auto heads = static_cast<double>(i.integer("heads"));
          const auto widths = static_cast<double>(i.integer("nope") + i.in("k_pe").shape[2] + i.integer("value"));
          return Cost{.flops = 2 * pairs * heads * widths, .bytes = traffic(i)};
        },
    .reference = attention_cached_reference<float>,
    .reference64 = attention_cached_reference<double>,
    .check = Check::projection,
    .fill =
        [](Fill& f) {
          f.reals("q");
          f.reals("kv");
          f.reals("k_pe");
          fill_streams(f, f.in("kv").shape[0], f.in("kv").shape[1]);
        },
    .examples = attention_cached_examples,
};

}  // namespace godwit::program
