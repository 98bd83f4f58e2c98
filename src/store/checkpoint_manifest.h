// The manifest of a checkpoint (checkpoint.h), between its text and what it says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "store/checkpoint.h"

namespace godwit::store {

inline constexpr std::string_view manifest_name = "manifest.json";

struct CheckpointManifest {
  struct File {
    std::string name;
    std::uint64_t bytes = 0;
    std::uint64_t header_bytes = 0;  // what lies before the first tensor
    Digest header;
    Digest sha256;
  };
  struct Place {
    std::size_t file = 0;
    std::uint64_t offset = 0;
  };

  CheckpointContent content;
  std::vector<File> files;
  std::vector<Place> places;  // of content.tensors
};

std::string write_manifest(const CheckpointManifest& manifest);

// The reverse. On return all of it holds: its text has the digest it ends with, the state's digest is that of its tensors, every tensor has
// as many bytes and blocks as dtype and shape ask for, and in every file header and tensors follow each other without gap or overlap.
// Errors are of kind differs, of kind input for a newer format; `name` opens them.
[[nodiscard]] Result<CheckpointManifest> parse_manifest(std::string_view text, std::string_view name);

}  // namespace godwit::store
