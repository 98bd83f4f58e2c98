// The instruction sets this build has kernels for, and which of them the machine has.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernel.h"
#include "sums.h"

namespace godwit::cpu {

struct InstructionSet {
  const char* name;
  bool present;
  std::span<const Kernel* const> kernels;
  SumBytes sum;
};

// Worst first; scalar is always there.
[[nodiscard]] std::vector<InstructionSet> instruction_sets();

[[nodiscard]] std::string processor_name();

}  // namespace godwit::cpu
