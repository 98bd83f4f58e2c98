// How much a device does itself, and who does the rest (device/fallback.h).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "device/device.h"

namespace godwit::device {

// Of the programs of a run. A program's FLOPs are those of one run.
struct Coverage {
  std::int64_t ops = 0, ops_elsewhere = 0;
  double flops = 0, flops_elsewhere = 0;
  std::map<std::string, std::int64_t> by_cpu, by_parts;  // how many ops of each name

  void add(Device& device, const program::Program& program);
  // "12 of 830 ops (1.4 %), 0.0 % of the FLOPs; the CPU does the others: adamw 12, …"; "all 830 ops".
  [[nodiscard]] std::string text() const;
};

// Of every op there is, at the shapes of its examples.
struct OpCoverage {
  std::string op;
  std::int64_t examples = 0, own = 0, by_parts = 0;  // how many there are, and how many the device does itself, and by the op's parts
};
[[nodiscard]] std::vector<OpCoverage> cover_all_ops(Device& device);

}  // namespace godwit::device
