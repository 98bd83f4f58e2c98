// Rows by expert, then token: a stable counting sort.
#include <algorithm>
#include <cstdint>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int32_t* chosen = call.in[0].i32();
  const std::int32_t* samples = call.in[1].i32();
  const std::int64_t tokens = call.in[0].rows();
  const std::int64_t top_k = call.in[0].width();
  const std::int64_t sample_count = call.in[1].count() - 1;
  const std::int64_t experts = call.integer("experts");
  std::int32_t* offsets = call.out[0].i32();
  std::int32_t* row_of_slot = call.out[1].i32();
  std::int32_t* slot_of_row = call.out[2].i32();
  std::int32_t* counts = call.out[3].i32();

  // offsets[e·S + s] first counts its group, then becomes its begin.
  std::fill_n(offsets, experts * sample_count + 1, 0);
  std::fill_n(row_of_slot, tokens * top_k, -1);
  std::fill_n(slot_of_row, tokens * top_k, -1);
  for (std::int64_t s = 0; s < sample_count; ++s) {
    for (std::int64_t slot = samples[s] * top_k; slot < samples[s + 1] * top_k; ++slot) ++offsets[chosen[slot] * sample_count + s];
  }
  std::int32_t row = 0;
  for (std::int64_t group = 0; group < experts * sample_count; ++group) {
    const std::int32_t count = offsets[group];
    offsets[group] = row;
    row += count;
  }
  offsets[experts * sample_count] = row;
  for (std::int64_t e = 0; e < experts; ++e) counts[e] = offsets[(e + 1) * sample_count] - offsets[e * sample_count];
  // Filling moves each begin to its group's end, which is the next group's begin; afterwards all move back by one place.
  for (std::int64_t s = 0; s < sample_count; ++s) {
    for (std::int64_t slot = samples[s] * top_k; slot < samples[s + 1] * top_k; ++slot) {
      std::int32_t& next = offsets[chosen[slot] * sample_count + s];
      row_of_slot[slot] = next;
      slot_of_row[next] = static_cast<std::int32_t>(slot);
      ++next;
    }
  }
  for (std::int64_t group = experts * sample_count - 1; group > 0; --group) offsets[group] = offsets[group - 1];
  if (experts * sample_count > 0) offsets[0] = 0;
}

}  // namespace

extern const Kernel dispatch_plan;
const Kernel dispatch_plan{
    .op = "dispatch_plan",
    .variant = [](const Call&) { return "counting sort"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
