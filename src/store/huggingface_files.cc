#include "store/huggingface_files.h"

#include <algorithm>
#include <map>
#include <unordered_set>
#include <utility>

#include "base/json.h"

namespace godwit::store {
namespace {

constexpr std::string_view single_name = "model.safetensors";
constexpr std::string_view index_name = "model.safetensors.index.json";
constexpr std::string_view scale_suffix = "_scale_inv";
constexpr std::size_t scale_block = 128;

std::string scale_name(std::string_view weight) {
  return std::string(weight).append(scale_suffix);
}

// How many blocks a side of a matrix has. Not (x + 127) / 128: an empty matrix may claim 2^64 - 1 rows.
std::uint64_t scale_blocks(std::uint64_t size) {
  return size / scale_block + (size % scale_block != 0);
}

// Which tensors each shard should hold, sorted by shard.
Result<std::map<std::string, std::vector<std::string>>> read_index(const fs::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path));
  TRY_ASSIGN(const Json json, parse_json(text, path.string()));
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    return input_error("{}: has no weight_map", path.string());
  }
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : json["weight_map"].items()) {
    if (!shard.is_string()) return input_error("{}: weight_map: the shard of {} is not a string", path.string(), name);
    const auto& file = shard.string();
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos || file.find('\0') != std::string::npos) {
      return input_error("{}: weight_map: the shard of {} is '{}', not the name of a file beside the index", path.string(), name, file);
    }
    shards[file].push_back(name);
  }
  if (shards.empty()) return input_error("{}: weight_map is empty", path.string());
  return shards;
}

}  // namespace

Result<TensorSource> TensorSource::open(const fs::path& directory) {
  const fs::path single = directory / single_name, index = directory / index_name;
  std::error_code ignored;
  const bool has_single = fs::exists(single, ignored), has_index = fs::exists(index, ignored);
  if (has_single && has_index) {
    return input_error("{}: has both {} and {}; remove the one that is out of date", directory.string(), single_name, index_name);
  }
  if (!has_single && !has_index) return input_error("{}: has neither {} nor {}", directory.string(), single_name, index_name);
  if (has_single) {
    TRY_ASSIGN(auto file, SafetensorsFile::open(single));
    return TensorSource(std::move(file));
  }
  TRY_ASSIGN(const auto shards, read_index(index));
  for (const auto& [shard, names] : shards) {
    if (!fs::exists(directory / shard, ignored)) {
      return input_error("{}: names the shard {}, which is not there ({} tensors, the first {})", index.string(), shard, names.size(),
                         names.front());
    }
  }
  TensorSource source;
  for (const auto& [shard, names] : shards) {
    TRY_ASSIGN(auto file, SafetensorsFile::open(directory / shard));
    for (const auto& name : names) {
      if (file.find(name) == nullptr) return input_error("{}: weight_map says {} is in {}, but it is not", index.string(), name, shard);
    }
    const std::unordered_set<std::string_view> named(names.begin(), names.end());
    TRY(source.add(std::move(file)));
    for (const auto& entry : source.files_.back().entries()) {
      if (!named.contains(entry.name)) {
        return input_error("{}: {} holds {}, which weight_map does not place there", index.string(), shard, entry.name);
      }
    }
  }
  std::sort(source.names_.begin(), source.names_.end());
  return source;
}

TensorSource::TensorSource(SafetensorsFile file) {
  auto added = add(std::move(file));
  CHECK(added.ok(), "one file holds a name twice: {}", added.error().message);
  std::sort(names_.begin(), names_.end());
}

Result<void> TensorSource::add(SafetensorsFile file) {
  // Moving a file moves neither its entries nor its map, so pointers to them stay good when files_ grows.
  files_.push_back(std::move(file));
  for (const auto& entry : files_.back().entries()) {
    const auto [place, added] = places_.emplace(entry.name, Place{files_.size() - 1, &entry});
    if (!added) return input_error("{} is in {} and in {}", entry.name, files_[place->second.file].name(), files_.back().name());
    names_.push_back(entry.name);
  }
  return {};
}

const TensorEntry* TensorSource::find(std::string_view name) const {
  const auto found = places_.find(name);
  return found == places_.end() ? nullptr : found->second.entry;
}

const std::string& TensorSource::file_of(std::string_view name) const {
  const auto found = places_.find(name);
  CHECK(found != places_.end(), "no tensor {}", name);
  return files_[found->second.file].name();
}

std::vector<std::string> TensorSource::weight_names() const {
  std::vector<std::string> weights;
  for (const auto& name : names_) {
    if (name.ends_with(scale_suffix)) {
      const auto* scaled = find(std::string_view(name).substr(0, name.size() - scale_suffix.size()));
      if (scaled != nullptr && scaled->dtype == FileDtype::f8_e4m3) continue;
    }
    weights.push_back(name);
  }
  return weights;
}

Result<void> TensorSource::check_readable(std::string_view name) const {
  const auto* entry = find(name);
  if (entry == nullptr) return input_error("{}: has no tensor {}", files_.empty() ? std::string() : files_.front().name(), name);
  const std::string& file = file_of(name);
  if (!is_readable_as_f32(entry->dtype)) {
    return input_error("{}: {} is {}; weights are read from F32, BF16, F16 or F8_E4M3", file, name, dtype_name(entry->dtype));
  }
  if (entry->dtype != FileDtype::f8_e4m3) return {};
  const auto* scale = find(scale_name(name));
  if (scale == nullptr) return input_error("{}: {} is F8_E4M3 but there is no {}", file, name, scale_name(name));
  if (entry->shape.size() != 2) return input_error("{}: {} is F8_E4M3 of shape {}, not a matrix", file, name, shape_text(entry->shape));
  const std::vector<std::uint64_t> expected = {scale_blocks(entry->shape[0]), scale_blocks(entry->shape[1])};
  if (scale->dtype != FileDtype::f32 || scale->shape != expected) {
    return input_error("{}: {} is {} {}, but {} of shape {} needs F32 {}", file_of(scale->name), scale->name, dtype_name(scale->dtype),
                       shape_text(scale->shape), name, shape_text(entry->shape), shape_text(expected));
  }
  return {};
}

Result<void> TensorSource::read_f32(std::string_view name, std::span<float> out) const {
  TRY(check_readable(name));
  const auto& entry = *find(name);
  const std::uint64_t count = entry.bytes.size() / dtype_bytes(entry.dtype);
  if (count != out.size())
    return input_error("{}: {} has shape {}, {} elements are wanted", file_of(name), name, shape_text(entry.shape), out.size());
  to_f32(entry.dtype, entry.bytes, out);
  if (entry.dtype != FileDtype::f8_e4m3 || count == 0) return {};
  const auto& scale = *find(scale_name(name));
  const std::uint64_t rows = entry.shape[0], columns = entry.shape[1], scale_columns = scale.shape[1];
  std::vector<float> scales(scale.bytes.size() / sizeof(float));
  to_f32(FileDtype::f32, scale.bytes, scales);
  for (std::size_t row = 0; row < rows; ++row) {
    float* const values = out.data() + row * columns;
    const float* const factors = scales.data() + row / scale_block * scale_columns;
    for (std::size_t column = 0; column < columns; ++column) values[column] *= factors[column / scale_block];
  }
  return {};
}

Digest TensorSource::digest() const {
  StateDigest digest;
  for (const auto& name : names_) {
    const auto& entry = *find(name);
    digest.add(tensor_digest(entry.name, dtype_name(entry.dtype), entry.shape, entry.bytes));
  }
  return digest.finish();
}

Result<std::vector<WrittenFile>> write_huggingface_weights(const fs::path& directory, std::span<const OutputTensor> tensors,
                                                           std::uint64_t shard_bytes_max, const Metadata& metadata) {
  std::vector<std::span<const OutputTensor>> shards;
  std::uint64_t total = 0, in_shard = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = tensor_bytes(tensors[i]);
    if (i > start && in_shard + bytes > shard_bytes_max) {
      shards.push_back(tensors.subspan(start, i - start));
      start = i;
      in_shard = 0;
    }
    in_shard += bytes;
    total += bytes;
  }
  shards.push_back(tensors.subspan(start));

  std::vector<WrittenFile> written;
  if (shards.size() == 1) {
    TRY_ASSIGN(const SafetensorsDigest digest, write_safetensors(directory / single_name, tensors, metadata));
    written.push_back({std::string(single_name), digest.file});
    return written;
  }
  std::vector<std::pair<std::string_view, std::string>> placed;
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards.size());
    TRY_ASSIGN(const SafetensorsDigest digest, write_safetensors(directory / name, shards[i], metadata));
    written.push_back({name, digest.file});
    for (const auto& tensor : shards[i]) placed.emplace_back(tensor.name, name);
  }
  std::sort(placed.begin(), placed.end());
  Json weight_map = Json::object();
  for (auto& [tensor, file] : placed) {
    CHECK(weight_map.empty() || weight_map.items().back().key != tensor, "{} is written twice", tensor);
    weight_map.add(std::string(tensor), std::move(file));
  }
  const std::string index = write_json(Json{{"metadata", {{"total_size", total}}}, {"weight_map", std::move(weight_map)}}, 2) + "\n";
  TRY(write_file_durably(directory / index_name, index));
  written.push_back({std::string(index_name), sha256(as_bytes(index))});
  return written;
}

}  // namespace godwit::store
