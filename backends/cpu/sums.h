// A sum over bytes that tells whether they changed. Compiled once per instruction set; each gives its own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::cpu {

// Any change of one bit, and of two, gives another sum; so does a swap of parts; what else does not, with a chance of about 2^-64. No shield
// against someone who computes collisions.
using SumBytes = std::uint64_t (*)(const std::byte* data, std::int64_t bytes);

}  // namespace godwit::cpu
