// Rows by expert, then token: a stable counting sort.
#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// The plan against its own definition: every row of a group names a slot of its sample and expert, later than the row before it, that
// names the row; there are as many rows as slots; all else is −1.
void check(const Call& call) {
  const std::int32_t* chosen = call.in[0].i32();
  const std::int32_t* samples = call.in[1].i32();
  const std::int64_t slots = call.in[0].count();
  const std::int64_t top_k = call.in[0].width();
  const std::int64_t sample_count = call.in[1].count() - 1;
  const std::int64_t experts = call.integer("experts");
  const std::int32_t* offsets = call.out[0].i32();
  const std::int32_t* row_of_slot = call.out[1].i32();
  const std::int32_t* slot_of_row = call.out[2].i32();
  const std::int32_t* counts = call.out[3].i32();
  const Inspection& inspection = *call.inspection;
  const auto doubt = [&](int output, std::int64_t place) {
    const std::int64_t width = call.out[static_cast<std::size_t>(output)].width();
    inspection.doubt(output, width == 0 ? 0 : place / width, std::numeric_limits<double>::infinity(), 0);
  };
  const std::int64_t begin = samples[0] * top_k;
  const std::int64_t end = samples[sample_count] * top_k;
  const std::int64_t groups = experts * sample_count;
  if (offsets[0] != 0 || offsets[groups] != end - begin) doubt(0, 0);
  std::int64_t row = 0;
  for (std::int64_t group = 0; group < groups; ++group) {
    const std::int64_t s = sample_count == 0 ? 0 : group % sample_count;
    if (offsets[group] < 0 || offsets[group + 1] < offsets[group] || offsets[group + 1] > end - begin) {
      doubt(0, group + 1);
      continue;
    }
    std::int64_t last = samples[s] * top_k - 1;
    for (row = offsets[group]; row < offsets[group + 1]; ++row) {
      const std::int64_t slot = slot_of_row[row];
      const bool right = slot > last && slot < samples[s + 1] * top_k && chosen[slot] == group / sample_count;
      if (!right) {
        doubt(2, row);
        continue;
      }
      if (row_of_slot[slot] != row) doubt(1, slot);
      last = slot;
    }
  }
  for (row = end - begin; row < slots; ++row) {
    if (slot_of_row[row] != -1) doubt(2, row);
  }
  for (std::int64_t slot = 0; slot < slots; ++slot) {
    if ((slot < begin || slot >= end) && row_of_slot[slot] != -1) doubt(1, slot);
  }
  for (std::int64_t e = 0; e < experts; ++e) {
    if (counts[e] != offsets[(e + 1) * sample_count] - offsets[e * sample_count]) doubt(3, e);
  }
  for (int output = 0; output < 4; ++output) inspection.count(output);
}

// One integer of the plan is changed.
void strike(const Call& call, const Strike& strike) {
  if (strike.kind != GODWIT_SPOIL_BIT && strike.kind != GODWIT_SPOIL_BITS) return;
  Chance chance = strike.chance;
  const View& out = call.out[static_cast<std::size_t>(chance.below(4))];
  if (out.count() == 0) return;
  const std::int64_t place = chance.below(out.count());
  std::int32_t& number = out.i32()[place];
  const std::int32_t before = number;
  number ^= static_cast<std::int32_t>(1u << (strike.bit >= 0 ? strike.bit : static_cast<int>(chance.below(32))));
  strike.tell(place / out.width(), place % out.width(), before, number, 0);
}

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
  if (call.inspection == nullptr) return;
  if (call.inspection->strike != nullptr) strike(call, *call.inspection->strike);
  if (call.inspection->verify) check(call);
}

}  // namespace

extern const Kernel dispatch_plan;
const Kernel dispatch_plan{
    .op = "dispatch_plan",
    .variant = [](const Call&) { return "counting sort"; },
    .workspace = nullptr,
    .run = run,
    .proof = Kernel::Proof::own,
};

}  // namespace godwit::cpu::GODWIT_ISA
