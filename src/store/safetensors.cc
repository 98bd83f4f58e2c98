#include "store/safetensors.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "base/json.h"

namespace godwit::store {
namespace {

// The limit of the reference implementation.
constexpr std::uint64_t header_bytes_max = safetensors_header_bytes_max;
constexpr std::size_t rank_max = 16;
constexpr std::size_t convert_elements = 1 << 16;

// A name as it may be printed: cut if it is absurdly long.
std::string shown(std::string_view name) {
  return name.size() <= 200 ? std::string(name) : std::string(name.substr(0, 200)) + "…";
}

struct ParsedEntry {
  TensorEntry entry;
  std::uint64_t begin = 0, end = 0;
};

Result<std::vector<std::uint64_t>> unsigned_list(const Json& json, std::string_view file, std::string_view tensor, std::string_view key) {
  std::vector<std::uint64_t> list;
  bool valid = json.is_array();
  if (valid) {
    for (const auto& item : json) {
      valid = valid && item.is_number_unsigned();
      if (valid) list.push_back(item.get<std::uint64_t>());
    }
  }
  if (!valid) return input_error("{}: {}: {} is not a list of non-negative integers", file, tensor, key);
  return list;
}

Result<ParsedEntry> parse_entry(const std::string& name, const Json& json, std::string_view file, std::uint64_t data_bytes) {
  const std::string tensor = shown(name);
  if (!json.is_object()) return input_error("{}: {}: the header's entry is not an object", file, tensor);
  for (const auto& [key, value] : json.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      return input_error("{}: {}: the header's entry has a key '{}', which safetensors does not know", file, tensor, shown(key));
    }
  }
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!json.contains(key)) return input_error("{}: {}: the header's entry has no {}", file, tensor, key);
  }
  ParsedEntry parsed;
  parsed.entry.name = name;
  const Json& dtype = json["dtype"];
  const auto known = dtype.is_string() ? find_dtype(dtype.string()) : std::nullopt;
  if (!known) return input_error("{}: {}: dtype {} is not one that can be read", file, tensor, shown(write_json(dtype)));
  parsed.entry.dtype = *known;
  TRY_ASSIGN(parsed.entry.shape, unsigned_list(json["shape"], file, tensor, "shape"));
  const auto& shape = parsed.entry.shape;
  if (shape.size() > rank_max)
    return input_error("{}: {}: shape has {} dimensions; at most {} are read", file, tensor, shape.size(), rank_max);
  TRY_ASSIGN(const auto offsets, unsigned_list(json["data_offsets"], file, tensor, "data_offsets"));
  if (offsets.size() != 2) return input_error("{}: {}: data_offsets has {} numbers, not 2", file, tensor, offsets.size());
  parsed.begin = offsets[0];
  parsed.end = offsets[1];
  if (parsed.begin > parsed.end) return input_error("{}: {}: data_offsets {} end before they begin", file, tensor, shape_text(offsets));
  if (parsed.end > data_bytes) {
    return input_error("{}: {}: data_offsets {} lie outside the file, which has {} bytes of data", file, tensor, shape_text(offsets),
                       data_bytes);
  }
  const auto count = element_count(shape);
  std::uint64_t bytes = 0;
  if (!count || __builtin_mul_overflow(*count, dtype_bytes(*known), &bytes)) {
    return input_error("{}: {}: shape {} is too large to be true", file, tensor, shape_text(shape));
  }
  if (bytes != parsed.end - parsed.begin) {
    return input_error("{}: {}: shape {} of {} takes {} bytes, data_offsets {} hold {}", file, tensor, shape_text(shape),
                       dtype_name(*known), bytes, shape_text(offsets), parsed.end - parsed.begin);
  }
  return parsed;
}

}  // namespace

Result<SafetensorsFile> SafetensorsFile::open(const fs::path& path) {
  TRY_ASSIGN(auto mapped, MappedFile::open(path));
  TRY_ASSIGN(auto file, parse(mapped.bytes(), path.string()));
  file.file_ = std::move(mapped);
  return file;
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  if (bytes.size() < 8) return input_error("{}: is {} bytes, too short for a safetensors file", name, bytes.size());
  std::uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data(), sizeof header_bytes);
  bytes = bytes.subspan(8);
  if (header_bytes > header_bytes_max) {
    return input_error("{}: not a safetensors file: its header would be {} bytes, more than {}", name, header_bytes, header_bytes_max);
  }
  if (header_bytes > bytes.size()) {
    return input_error("{}: is cut off: its header should be {} bytes, {} follow", name, header_bytes, bytes.size());
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()), static_cast<std::size_t>(header_bytes));
  bytes = bytes.subspan(header.size());
  TRY_ASSIGN(const Json json, parse_json(header, fmt::format("{} (header)", name), {.bytes_max = header_bytes_max, .depth_max = 8}));
  if (!json.is_object()) return input_error("{}: the header is not a JSON object", name);

  SafetensorsFile file;
  file.name_ = name;
  std::vector<ParsedEntry> parsed;
  for (const auto& [key, value] : json.items()) {
    if (key != "__metadata__") {
      TRY_ASSIGN(auto entry, parse_entry(key, value, name, bytes.size()));
      parsed.push_back(std::move(entry));
      continue;
    }
    if (!value.is_object()) return input_error("{}: __metadata__ is not an object", name);
    for (const auto& [word, text] : value.items()) {
      if (!text.is_string()) return input_error("{}: __metadata__: the value of '{}' is not a string", name, shown(word));
      file.metadata_.emplace_back(word, text.string());
    }
  }
  std::stable_sort(parsed.begin(), parsed.end(),
                   [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t covered = 0;
  std::string_view before = "the start of the data";
  for (auto& [entry, begin, end] : parsed) {
    if (begin < covered)
      return input_error("{}: {} begins at byte {}, inside {}, which ends at {}", name, shown(entry.name), begin, shown(before), covered);
    if (begin > covered)
      return input_error("{}: {} begins at byte {}, but {} ends at {}: a gap", name, shown(entry.name), begin, shown(before), covered);
    entry.bytes = bytes.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    covered = end;
    before = entry.name;
  }
  if (covered != bytes.size()) return input_error("{}: the tensors end at byte {} of the data, which has {}", name, covered, bytes.size());
  file.entries_.reserve(parsed.size());
  for (auto& [entry, begin, end] : parsed) {
    file.entries_.push_back(std::move(entry));
    file.index_.emplace(file.entries_.back().name, file.entries_.size() - 1);
  }
  return file;
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

OutputTensor tensor_of_bytes(std::string name, FileDtype dtype, std::vector<std::uint64_t> shape, std::span<const std::byte> bytes) {
  return {std::move(name), dtype, std::move(shape), [bytes](const ByteSink& sink) { return sink(bytes); }};
}

OutputTensor tensor_of_f32(std::string name, FileDtype dtype, std::vector<std::uint64_t> shape, std::span<const float> values) {
  if (dtype == FileDtype::f32) return tensor_of_bytes(std::move(name), dtype, std::move(shape), std::as_bytes(values));
  return {std::move(name), dtype, std::move(shape), [dtype, values](const ByteSink& sink) -> Result<void> {
            std::vector<std::byte> piece;
            for (std::size_t start = 0; start < values.size(); start += convert_elements) {
              const auto part = values.subspan(start, std::min(convert_elements, values.size() - start));
              piece.resize(part.size() * dtype_bytes(dtype));
              from_f32(part, dtype, piece);
              TRY(sink(piece));
            }
            return {};
          }};
}

std::uint64_t tensor_bytes(const OutputTensor& tensor) {
  const auto count = element_count(tensor.shape);
  CHECK(count.has_value(), "{} has shape {}", tensor.name, shape_text(tensor.shape));
  return *count * dtype_bytes(tensor.dtype);
}

Result<SafetensorsDigest> write_safetensors(const fs::path& path, std::span<const OutputTensor> tensors, const Metadata& metadata,
                                            Cached cached) {
  std::vector<const OutputTensor*> order;
  for (const auto& tensor : tensors) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return dtype_bytes(a->dtype) > dtype_bytes(b->dtype); });

  Json header = Json::object();
  Json& words = header["__metadata__"] = Json{{"format", "pt"}};
  for (const auto& [key, value] : metadata) words[key] = value;
  std::unordered_set<std::string_view> names;
  std::uint64_t end = 0;
  for (const auto* tensor : order) {
    CHECK(names.insert(tensor->name).second && tensor->name != "__metadata__", "{} is written twice", tensor->name);
    const std::uint64_t begin = end;
    end += tensor_bytes(*tensor);
    header.add(tensor->name, {{"dtype", dtype_name(tensor->dtype)}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}});
  }
  std::string text = write_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  const std::uint64_t header_bytes = text.size();
  CHECK(header_bytes <= header_bytes_max, "a header of {} bytes", header_bytes);

  TRY_ASSIGN(auto writer, DurableWriter::create(path, cached));
  Sha256 sha;
  std::uint64_t written = 0;
  const ByteSink sink = [&](std::span<const std::byte> bytes) {
    sha.update(bytes);
    written += bytes.size();
    return writer.append(bytes);
  };
  TRY(sink(std::as_bytes(std::span(&header_bytes, 1))));
  TRY(sink(as_bytes(text)));
  Sha256 header_sha;
  header_sha.update(std::as_bytes(std::span(&header_bytes, 1)));
  header_sha.update(text);
  for (const auto* tensor : order) {
    written = 0;
    TRY(tensor->write(sink));
    CHECK(written == tensor_bytes(*tensor), "{}: {} bytes were written for shape {} of {}", tensor->name, written,
          shape_text(tensor->shape), dtype_name(tensor->dtype));
  }
  TRY(writer.commit());
  return SafetensorsDigest{sha.finish(), header_sha.finish()};
}

}  // namespace godwit::store
