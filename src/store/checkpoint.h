// Checkpoints: a whole state on disk, found to be exactly itself or not loaded at all.
//
// `root` is RUN/checkpoints; the checkpoint of step N is the directory root/N (decimal). It is written aside (a name that begins with a
// dot), synced, renamed; a crash leaves the old ones and at most a dotted directory that remove_temporaries (base/file.h) removes.
//
// Inside lie state.safetensors (the state list; where it is large, state-0000i-of-0000N.safetensors) and manifest.json:
//
//     {"format": "godwit checkpoint", "version": 1, "step", "profile", "digest": of the state,
//      "files": [{"name", "bytes", "header_bytes", "header_sha256", "sha256"}],
//      "tensors": [{"name", "dtype", "shape", "file": index, "offset": in the file, "bytes", "blocks": [XXH3-128 of each 64 KiB]}],
//      "manifest_sha256": of the manifest's text before the comma in front of this member}
//
// The manifest vouches for itself, then for every byte of every file: the safetensors header by its SHA-256, the rest block by block (the
// files' own "sha256" is for people: sha256sum). Any flipped, missing or extra byte, file or name is found on load. Files are read, not
// mapped: a disk that fails is an error too.
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "store/state.h"

namespace godwit::store {

struct CheckpointInfo {
  std::uint64_t step = 0;
  std::string profile;  // "exact/1"
  Digest digest;        // of the state
};

// Writes the checkpoint of `step` from memory whose digests were taken already, and which is only read; memory that no longer has them is
// an error of kind differs that names the block, and nothing is written. Before the checkpoint gets its name every byte is read back from
// the disk (the cached pages are dropped) and compared with memory's digests; what comes back otherwise is an error of kind world. Works in
// one thread, keeps nothing and logs nothing: a child process, forked with the state mapped, may do it. Replaces no good checkpoint: of the
// same step, an equal one is left, a bad one is replaced, and another good one is an error of kind differs (of kind input where another
// version of the program wrote it). A full disk, or a crash, leaves
// every earlier checkpoint as it was. A file gets at most shard_bytes_max bytes, or a single tensor.
[[nodiscard]] Result<void> write_checkpoint(const std::filesystem::path& root, std::uint64_t step, const StateList& state,
                                            std::span<const TensorDigest> digests, std::string_view profile,
                                            std::uint64_t shard_bytes_max = std::uint64_t{4} << 30);

// Steps that have a (finished) checkpoint directory, ascending. Good or bad is not looked at.
[[nodiscard]] Result<std::vector<std::uint64_t>> list_checkpoints(const std::filesystem::path& root);

// Reads a checkpoint into `state`: names, dtypes, shapes and their order must be exactly those. Every byte is checked before the call
// returns; on error the memory's content is undefined. Errors say which file, which tensor, which block.
[[nodiscard]] Result<CheckpointInfo> load_checkpoint(const std::filesystem::path& root, std::uint64_t step, const StateList& state);

// Verifies without loading into anything, and tells what it holds.
struct CheckpointContent {
  CheckpointInfo info;
  std::vector<TensorDigest> tensors;
};
[[nodiscard]] Result<CheckpointContent> verify_checkpoint(const std::filesystem::path& root, std::uint64_t step);

// Some tensors of a checkpoint, by name (serving, export: weights without moments). Everything is verified when it is opened, and what is
// read is verified again. The files stay open: retention may remove the checkpoint meanwhile. Thread-safe; copies share the files.
class CheckpointReader {
 public:
  struct Opened;  // private to checkpoint.cc
  [[nodiscard]] static Result<CheckpointReader> open(const std::filesystem::path& root, std::uint64_t step);
  [[nodiscard]] const CheckpointContent& content() const;
  // Null if there is none of that name.
  [[nodiscard]] const TensorDigest* find(std::string_view tensor) const;
  // The tensor's bytes; an error if there is no such tensor or it has not bytes.size() bytes.
  [[nodiscard]] Result<void> read(std::string_view tensor, std::span<std::byte> bytes) const;

 private:
  CheckpointReader() = default;
  std::shared_ptr<const Opened> opened_;
};

// The newest checkpoint of at most step `last` that loads; older ones are tried in turn, and each bad one is described in `refused`. One
// that another version of the program wrote is not bad: an error of kind input. Nothing if there is none: a run must not begin anew then
// unless `refused` is empty too.
[[nodiscard]] Result<std::optional<CheckpointInfo>> load_newest(const std::filesystem::path& root, const StateList& state,
                                                                std::vector<std::string>& refused,
                                                                std::uint64_t last = std::numeric_limits<std::uint64_t>::max());

// Removes what the rules do not keep: the newest `last` steps, every step divisible by `every` (0: none), those in `keep`, and the newest
// one that is not after `not_after` (where a run would roll back to).
struct Retention {
  std::uint64_t last = 2;
  std::uint64_t every = 0;
  std::vector<std::uint64_t> keep = {};
  std::optional<std::uint64_t> not_after = {};
};
[[nodiscard]] std::vector<std::uint64_t> steps_to_remove(std::span<const std::uint64_t> steps, const Retention& retention);
[[nodiscard]] Result<void> apply_retention(const std::filesystem::path& root, const Retention& retention);

}  // namespace godwit::store
