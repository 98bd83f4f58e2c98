// Digests: XXH3-128 for blocks (fast, finds every fault), SHA-256 for what names a whole (also finds intent).
//
// The digest of a state, or of any list of tensors, is defined by bytes, so that anyone can recompute it. All integers little-endian:
//
//     the 22 bytes "godwit state digest 1\n"
//     for each tensor, in the order of its list:
//         u32 length of the name, the name (UTF-8)
//         u32 length of the dtype, the dtype as safetensors spells it ("F32", "BF16", "I64", "U64", "U8" …)
//         u32 rank, then rank × u64 dimension
//         u64 byte count
//         u64 block count, then per block its XXH3-128 (seed 0), 16 bytes in xxhash's canonical (big-endian) form
//     u64 number of tensors
//
// and the digest is the SHA-256 of that. The blocks of a tensor are consecutive 64 KiB pieces of its bytes (row-major, little-endian
// elements); the last may be shorter, a tensor without elements has none. A state's list is in state-list order; that of a Hugging Face
// directory is sorted by name (by byte), so that it does not depend on how the files are cut.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace godwit {

inline constexpr std::size_t digest_block_bytes = 65536;

struct BlockHash {
  std::array<std::byte, 16> bytes{};
  bool operator==(const BlockHash&) const = default;
};

struct Digest {
  std::array<std::byte, 32> bytes{};
  bool operator==(const Digest&) const = default;
};

// Lower-case hexadecimal digits, two a byte.
std::string hex(std::span<const std::byte> bytes);
inline std::string hex(const BlockHash& hash) {
  return hex(hash.bytes);
}
inline std::string hex(const Digest& digest) {
  return hex(digest.bytes);
}
// The reverse; an error of kind input unless it is exactly 64 (32) lower-case hexadecimal digits.
[[nodiscard]] Result<Digest> parse_digest(std::string_view text);
[[nodiscard]] Result<BlockHash> parse_block_hash(std::string_view text);

// XXH3-128 of up to 64 KiB of one tensor. Pure and thread-safe: blocks are hashed wherever they are hot.
BlockHash hash_block(std::span<const std::byte> bytes);
// One hash per 64 KiB piece.
std::vector<BlockHash> hash_blocks(std::span<const std::byte> bytes);

// SHA-256, piece by piece. Movable, not thread-safe.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text);
  // The digest of everything so far; nothing may be added afterwards.
  Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

Digest sha256(std::span<const std::byte> bytes);

// What a state's digest knows of one logical tensor.
struct TensorDigest {
  std::string name;
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t bytes = 0;
  std::vector<BlockHash> blocks;
  bool operator==(const TensorDigest&) const = default;
};

TensorDigest tensor_digest(std::string_view name, std::string_view dtype, std::span<const std::uint64_t> shape,
                           std::span<const std::byte> bytes);

// The digest defined above, tensor by tensor in the list's order. CHECKs that the number of blocks fits the byte count.
class StateDigest {
 public:
  StateDigest();
  void add(const TensorDigest& tensor);
  Digest finish();

 private:
  Sha256 sha_;
  std::uint64_t count_ = 0;
};

Digest state_digest(std::span<const TensorDigest> tensors);

}  // namespace godwit
