// The state of a run: one list of every persistent byte.
//
// The list is closed: checkpoint, digest, hand-over and resume iterate over it, and what is not in it does not survive a step. Scalars are
// tensors of one element ("run.step" U64 …), so there is nothing beside the list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"

namespace godwit::store {

// One logical tensor. The bytes are owned elsewhere (the run) and must outlive the list; row-major, little-endian.
struct StateTensor {
  std::string name;
  std::string dtype;  // "F32", "U64", "F64", "I64": as safetensors spells it
  std::vector<std::uint64_t> shape;
  std::span<std::byte> bytes;
};

using StateList = std::vector<StateTensor>;

// Digests of all tensors, block by block, spread over `threads`; and the digest of the whole.
[[nodiscard]] std::vector<TensorDigest> digest_tensors(const StateList& state, int threads);
[[nodiscard]] Digest digest_state(const StateList& state, int threads);

}  // namespace godwit::store
