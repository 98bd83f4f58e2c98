// One safetensors file: read from a map with every word of its header checked, written as a stream.
//
// The format: u64 header length, a JSON header { name: {dtype, shape, data_offsets: [begin, end]}, "__metadata__": {text: text} }, padded
// with spaces to 8 bytes, then the tensors' bytes, row-major, little-endian, without gap or overlap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"
#include "store/dtype.h"

namespace godwit::store {

// The longest header that is read, without the eight bytes of its length.
inline constexpr std::uint64_t safetensors_header_bytes_max = 100'000'000;

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct TensorEntry {
  std::string name;
  FileDtype dtype = FileDtype::f32;
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> bytes;  // of the map; perhaps not aligned for the dtype
};

// A file whose header has been checked completely: every entry's bytes lie inside the file, are exactly as many as dtype and shape ask for,
// and together the entries cover the data once. The elements themselves are not looked at. Movable; entries stay valid with the object.
// Reading is thread-safe.
class SafetensorsFile {
 public:
  [[nodiscard]] static Result<SafetensorsFile> open(const fs::path& path);
  // The same from memory, which must outlive the object. `name` opens every error message.
  [[nodiscard]] static Result<SafetensorsFile> parse(std::span<const std::byte> bytes, std::string_view name);

  const std::string& name() const { return name_; }
  // In the order of their bytes in the file.
  std::span<const TensorEntry> entries() const { return entries_; }
  const TensorEntry* find(std::string_view name) const;
  const Metadata& metadata() const { return metadata_; }

 private:
  SafetensorsFile() = default;
  MappedFile file_;
  std::string name_;
  std::vector<TensorEntry> entries_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views of the entries' names, which do not move
  Metadata metadata_;
};

using ByteSink = std::function<Result<void>(std::span<const std::byte>)>;

// A tensor to be written. `write` is called once, hands its bytes to the sink in any number of pieces, and passes the sink's errors on.
struct OutputTensor {
  std::string name;
  FileDtype dtype = FileDtype::f32;
  std::vector<std::uint64_t> shape;
  std::function<Result<void>(const ByteSink&)> write;
};

// From bytes as they are, and from f32 converted piece by piece to F32, BF16 or F16. The memory must stay until it is written.
OutputTensor tensor_of_bytes(std::string name, FileDtype dtype, std::vector<std::uint64_t> shape, std::span<const std::byte> bytes);
OutputTensor tensor_of_f32(std::string name, FileDtype dtype, std::vector<std::uint64_t> shape, std::span<const float> values);

std::uint64_t tensor_bytes(const OutputTensor& tensor);

// What was written, from memory: SHA-256 of all bytes, and of those before the first tensor's.
struct SafetensorsDigest {
  Digest file;
  Digest header;
};
// Writes the file durably (aside, synced, renamed); its bytes depend on the tensors and the metadata alone. Wider dtypes come first, else
// the given order is kept, so that every tensor is aligned. `__metadata__` gets format = "pt", which transformers insists on, then
// `metadata`. Names must differ (CHECK), as must a tensor's bytes fit its shape (CHECK).
[[nodiscard]] Result<SafetensorsDigest> write_safetensors(const fs::path& path, std::span<const OutputTensor> tensors,
                                                          const Metadata& metadata = {}, Cached cached = Cached::yes);

}  // namespace godwit::store
