// f32 weights on their way into a file of a narrower type.
#pragma once

#include <span>
#include <string>

#include "base/error.h"
#include "store/dtype.h"
#include "store/safetensors.h"

namespace godwit::store {

// Hands the values to the sink as F32, BF16 or F16, piece by piece. A finite value that the type can only hold as infinity is an input
// error that names it: better no file than one whose model has lost a weight.
[[nodiscard]] Result<void> write_narrowed(std::span<const float> values, FileDtype dtype, const std::string& name, const ByteSink& sink);

}  // namespace godwit::store
