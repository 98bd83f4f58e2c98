// One op on a device that checks: what its kernel does not prove itself is made twice, block by block while it is in a cache, and must
// give the same bits; and every result's sums are carried from here to its last use. docs/inline-checks.md
#pragma once

#include "carried.h"
#include "step.h"

namespace godwit::cpu {

struct Checking {
  Pool& pool;
  Pool& alone;  // of one thread: for blocks that run beside one another
  CarriedSums& carried;
};

// What the step's kernel and the check need of the workspace.
[[nodiscard]] std::int64_t checked_workspace(const Step& step, Pool& pool, Pool& alone);

// `call` is the step's, with its workspace and inspection. Without `inspection.verify` it only spoils what it is told to.
void run_checked(const Step& step, Call& call, const Inspection& inspection, const Checking& checking);

}  // namespace godwit::cpu
