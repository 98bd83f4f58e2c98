// From the times a profiled device keeps of every node to a table by op and shape.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "device/ceilings.h"
#include "bench/report.h"
#include "device/device.h"
#include "program/program.h"

namespace godwit::bench {

using device::Ceilings;

struct TimedProgram {
  const program::Program* program = nullptr;
  std::vector<device::OpTime> times;  // by node
};

// The programs with the times of their ops so far. The refresh part is left out: weights that stay are refreshed once.
[[nodiscard]] Result<std::vector<TimedProgram>> timed_programs(std::span<const device::Executable* const> executables);
// The same since `before` was taken, of the same programs.
[[nodiscard]] Result<std::vector<TimedProgram>> times_since(std::span<const TimedProgram> before,
                                                            std::span<const device::Executable* const> executables);

// "bf16 1024×512, 2048×512 → f32 1024×2048": the inputs without integers and single numbers, then the first output. A dtype is said where
// it changes.
[[nodiscard]] std::string shape_text(const program::Program& program, const program::Node& node);

// Nodes of one op and shape_text are one row; nodes that never ran are left out. `steps` of `step_seconds` each is what the times were
// taken over.
[[nodiscard]] OpTable group_ops(std::string job, std::span<const TimedProgram> programs, double steps, double step_seconds,
                                const Ceilings& ceilings);

}  // namespace godwit::bench
