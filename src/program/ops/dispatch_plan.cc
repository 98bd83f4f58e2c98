// Where each token's rows lie when rows are ordered by expert, then token: the integers every other op of the mixture goes by.
//   experts [N, K]   samples [S+1]   →   offsets [E·S+1], row_of_slot [N, K], slot_of_row [N·K], counts [E]      all i32
//
// The rows of expert e and sample s are offsets[e·S+s] … offsets[e·S+s+1]−1. row_of_slot[t, k] is the row of token t's slot k,
// slot_of_row[row] = t·K + k its inverse, counts[e] how many rows expert e has. Padding tokens have no rows (−1), unused rows no slot (−1).
// No gradient.
#include <algorithm>

#include "program/fill.h"
#include "program/ops/cost_rules.h"
#include "program/reference.h"

namespace godwit::program {
namespace {

void dispatch_plan_reference(const Memory& memory) {
  const std::int32_t* chosen = memory.i32("experts");
  const std::int32_t* samples = memory.i32("samples");
  std::int32_t* offsets = memory.i32_out("offsets");
  std::int32_t* row_of_slot = memory.i32_out("row_of_slot");
  std::int32_t* slot_of_row = memory.i32_out("slot_of_row");
  std::int32_t* counts = memory.i32_out("counts");
  const std::int64_t top_k = memory.in("experts").shape[1];
  const std::int64_t experts = memory.integer("experts");
  const std::int64_t sample_count = memory.in("samples").shape.count() - 1;
  std::fill_n(row_of_slot, memory.out("row_of_slot").shape.count(), -1);
  std::fill_n(slot_of_row, memory.out("slot_of_row").shape.count(), -1);

  std::int32_t row = 0;
  offsets[0] = 0;
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::int32_t first_row = row;
    for (std::int64_t s = 0; s < sample_count; ++s) {
      for (std::int64_t slot = samples[s] * top_k; slot < samples[s + 1] * top_k; ++slot) {
        if (chosen[slot] != e) continue;
        row_of_slot[slot] = row;
        slot_of_row[row] = static_cast<std::int32_t>(slot);
        ++row;
      }
      offsets[e * sample_count + s + 1] = row;
    }
    counts[e] = row - first_row;
  }
}

std::vector<Example> dispatch_plan_examples() {
  std::vector<Example> examples;
  const auto add = [&](std::int64_t tokens, std::int64_t top_k, std::int64_t experts, std::int64_t samples) {
    examples.push_back({.inputs = {{Dtype::i32, {tokens, top_k}}, {Dtype::i32, {samples + 1}}}, .attributes = {{"experts", experts}}});
  };
  add(1, 1, 1, 1);
  add(2, 2, 16, 1);
  add(7, 2, 5, 3);
  add(3, 4, 4, 6);
  add(65, 3, 9, 2);
  add(300, 8, 64, 5);
  return examples;
}

// Every token takes any `top_k` different experts, ascending, as the router writes them.
void dispatch_plan_fill(Fill& f) {
  const std::int64_t tokens = f.in("experts").shape[0];
  const std::int64_t top_k = f.in("experts").shape[1];
  const std::int64_t experts = f.integer("experts");
  auto slot = f.i32("experts").begin();
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::int64_t wanted = top_k;
    for (std::int64_t e = 0; e < experts; ++e) {
      if (f.random(static_cast<std::uint32_t>(experts - e)) >= wanted) continue;
      *slot++ = static_cast<std::int32_t>(e);
      --wanted;
    }
  }
  f.samples("samples", tokens);
}

}  // namespace

extern const Op dispatch_plan;
const Op dispatch_plan{
    .name = "dispatch_plan",
    .inputs = {"experts", "samples"},
    .outputs = {"offsets", "row_of_slot", "slot_of_row", "counts"},
    .attributes = {"experts"},
    .shapes =
        [](Shapes& s) {
          const Shape& chosen = s.in("experts").shape;
          const std::int64_t experts = s.integer("experts");
          s.require(chosen.rank() == 2 && chosen[1] <= experts, "experts is [tokens, top_k], top_k at most the number of experts");
          s.set("offsets", Dtype::i32, {experts * (s.in("samples").shape.count() - 1) + 1});
          s.set("row_of_slot", Dtype::i32, chosen);
          s.set("slot_of_row", Dtype::i32, {chosen.count()});
          s.set("counts", Dtype::i32, {experts});
        },
    .cost = [](const Instance& i) { return Cost{.flops = 0, .bytes = traffic(i)}; },
    .reference = dispatch_plan_reference,
    .reference64 = dispatch_plan_reference,
    .check = Check::integers,
    .fill = dispatch_plan_fill,
    .examples = dispatch_plan_examples,
};

}  // namespace godwit::program
