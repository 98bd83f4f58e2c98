// A task's options on the command line.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace godwit::cli {

// "options.bits=16", "options.compare=number" … → {"bits": 16, "compare": "number"}: numbers where they are numbers, else words. A later
// one replaces an earlier one. Whether the task has such an option says the task.
[[nodiscard]] Result<Json> task_options(const std::vector<std::string>& sets);

}  // namespace godwit::cli
