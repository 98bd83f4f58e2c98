// Checkpoints: a whole state on disk, found to be exactly itself or not loaded at all.
//
// `root` is RUN/checkpoints; the checkpoint of step N is the directory root/N (decimal). It is written aside (a name that begins with a
// dot), synced, renamed; a crash leaves the old ones and at most a dotted directory that the next start removes. Inside: state.safetensors
// (every tensor of the state list, sharded when large) and manifest.json (format version, step, profile, the digests of every block, of
// every file, the state's digest, and last a digest of the manifest's own bytes). Any flipped, missing or extra byte, file or name is found
// on load.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/state.h"

namespace godwit::store {

struct CheckpointInfo {
  std::uint64_t step = 0;
  std::string profile;  // "exact/1"
  Digest digest;        // of the state
};

// Writes the checkpoint of `step` from memory whose digests were taken already; replaces nothing (an equal one that exists and verifies
// is left; a bad one of the same step is replaced). A full disk leaves every earlier checkpoint as it was.
[[nodiscard]] Result<void> write_checkpoint(const std::filesystem::path& root, std::uint64_t step, const StateList& state,
                                            std::span<const TensorDigest> digests, std::string_view profile);

// Steps that have a (finished) checkpoint directory, ascending. Good or bad is not looked at.
[[nodiscard]] Result<std::vector<std::uint64_t>> list_checkpoints(const std::filesystem::path& root);

// Reads a checkpoint into `state`: names, dtypes and shapes must be exactly those. Every byte is checked before the call returns; on error
// the memory's content is undefined. Errors say which file, which tensor, which block.
[[nodiscard]] Result<CheckpointInfo> load_checkpoint(const std::filesystem::path& root, std::uint64_t step, const StateList& state);

// Verifies without loading into anything, and tells what it holds.
struct CheckpointContent {
  CheckpointInfo info;
  std::vector<TensorDigest> tensors;
};
[[nodiscard]] Result<CheckpointContent> verify_checkpoint(const std::filesystem::path& root, std::uint64_t step);

// Some tensors of a checkpoint by name as F32, checked likewise (serving, export: weights without moments).
class CheckpointReader {
 public:
  [[nodiscard]] static Result<CheckpointReader> open(const std::filesystem::path& root, std::uint64_t step);
  [[nodiscard]] const CheckpointContent& content() const { return content_; }
  [[nodiscard]] Result<void> read(std::string_view tensor, std::span<std::byte> bytes) const;

 private:
  std::filesystem::path directory_;
  CheckpointContent content_;
};

// The newest checkpoint that loads; older ones are tried in turn, and each bad one is described in `refused` ("checkpoint 400: …"). Nothing
// if there is none.
[[nodiscard]] Result<std::optional<CheckpointInfo>> load_newest(const std::filesystem::path& root, const StateList& state,
                                                                std::vector<std::string>& refused);

// Removes what the rules do not keep: the newest `last` steps, every step divisible by `every` (0: none), and those in `keep`.
struct Retention {
  std::uint64_t last = 2;
  std::uint64_t every = 0;
  std::vector<std::uint64_t> keep;
};
[[nodiscard]] std::vector<std::uint64_t> steps_to_remove(std::span<const std::uint64_t> steps, const Retention& retention);
[[nodiscard]] Result<void> apply_retention(const std::filesystem::path& root, const Retention& retention);

}  // namespace godwit::store
