// Where a run stands, from its files alone: what `godwit status --json` prints.
#pragma once

#include "base/error.h"
#include "base/json.h"
#include "store/run_directory.h"

namespace godwit::cli {

// At least state (running | waiting | finished | stopped), step, steps, digest (null before the first commit), supervisor_pid (null where
// none runs), workers, faults. Members that guard.json adds are passed on unread.
[[nodiscard]] Result<Json> status_of(const store::RunDirectory& run);

}  // namespace godwit::cli
