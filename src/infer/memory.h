// Says before an allocation that it cannot be, with the figures.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/error.h"

namespace godwit::infer {

// An input error where `what` ("the caches of 8 streams of 4096 positions") needs more bytes than this process can still have. `way_out`
// ends the message ("ask for fewer tokens").
[[nodiscard]] Result<void> check_memory(std::string_view what, std::int64_t bytes, std::string_view way_out);

}  // namespace godwit::infer
