// The weights of a Hugging Face directory: model.safetensors, or shards named by model.safetensors.index.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "store/safetensors.h"

namespace godwit::store {

// All tensors of one model, whichever files they lie in. Movable; entries stay valid with the object. Reading is thread-safe.
class TensorSource {
 public:
  // Refuses a directory without weights, one with both kinds of layout, a missing shard, a tensor in two shards, and an index that does not
  // say exactly what the shards hold.
  [[nodiscard]] static Result<TensorSource> open(const fs::path& directory);
  // One file alone, for instance parsed from memory.
  explicit TensorSource(SafetensorsFile file);

  const TensorEntry* find(std::string_view name) const;
  // All names, sorted by byte.
  const std::vector<std::string>& names() const { return names_; }
  // The same without the block scales that belong to an F8_E4M3 tensor beside them: the names of a model's weights.
  std::vector<std::string> weight_names() const;
  // The file that holds a tensor, for messages.
  const std::string& file_of(std::string_view name) const;

  // Whether read_f32 can read a tensor: an error if it is missing, of a type or without the scales that takes, whatever its size.
  [[nodiscard]] Result<void> check_readable(std::string_view name) const;
  // The tensor as f32, from F32, BF16, F16, or F8_E4M3 times its NAME_scale_inv: an F32 factor for each block of 128 × 128 elements of a
  // matrix, blocks at the right and lower edge being cut off. An error if it is missing, of another type, or has not out.size() elements.
  [[nodiscard]] Result<void> read_f32(std::string_view name, std::span<float> out) const;

  // The digest (base/digest.h) of all tensors as they are stored, sorted by name: the same however the files are cut.
  Digest digest() const;

 private:
  TensorSource() = default;
  [[nodiscard]] Result<void> add(SafetensorsFile file);

  struct Place {
    std::size_t file;
    const TensorEntry* entry;
  };
  std::vector<SafetensorsFile> files_;
  std::unordered_map<std::string_view, Place> places_;
  std::vector<std::string> names_;
};

struct WrittenFile {
  std::string name;
  Digest sha256;
};

// Writes model.safetensors into an existing directory, or, where the tensors take more than shard_bytes_max,
// model-0000i-of-0000N.safetensors and their index. Shards are cut at tensor borders in the given order; a larger tensor gets a shard of
// its own. Returns what was written.
[[nodiscard]] Result<std::vector<WrittenFile>> write_huggingface_weights(const fs::path& directory, std::span<const OutputTensor> tensors,
                                                                         std::uint64_t shard_bytes_max, const Metadata& metadata = {});

}  // namespace godwit::store
