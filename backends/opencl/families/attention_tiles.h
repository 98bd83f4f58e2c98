// Attention and its gradient for wide devices: a work-item has a tile of query rows (or of keys) of one head, keys go by in vectors.
//
// Keys, values and whatever else goes by is laid out first, head by head: once with tokens side by side, once with columns side by side,
// widened, and padded so that vectors may read past the end.
#pragma once

#include "kernel.h"

namespace godwit::opencl {

// Whether the op at hand is better made by tiles: on wide devices, of heads whose rows are one segment at most.
[[nodiscard]] bool by_tiles(const Call& call);
void plan_attention_tiles(const Call& call, Plan& plan);
void plan_attention_backward_tiles(const Call& call, Plan& plan);

}  // namespace godwit::opencl
