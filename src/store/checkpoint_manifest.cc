#include "store/checkpoint_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "store/dtype.h"
#include "store/safetensors.h"

namespace godwit::store {
namespace {

constexpr std::string_view format = "godwit checkpoint";
constexpr std::uint64_t version = 1;
constexpr std::string_view before_digest = ",\n \"manifest_sha256\": \"", after_digest = "\"\n}\n";
constexpr std::size_t digest_digits = 64;

template <typename... Args>
Error damaged(std::string_view name, fmt::format_string<Args...> text, Args&&... args) {
  return differs_error("{}: {}", name, fmt::format(text, std::forward<Args>(args)...));
}

// Reads members of the types expected and keeps the first error. What it reads has the right digest, so that only another program's
// manifest gets an error here.
class Members {
 public:
  Members(const Json& json, std::string_view where, std::initializer_list<std::string_view> keys, std::optional<Error>& error)
      : json_(json), where_(where), error_(error) {
    bool fits = json.is_object() && json.size() == keys.size();
    for (const auto key : keys) fits = fits && json.contains(key);
    if (!fits) fail(fmt::format("is not an object of the members {}", fmt::join(keys, ", ")));
  }

  std::string text(const char* key) {
    return value<std::string>(
        key, [](const Json& json) { return json.is_string(); }, "a string");
  }
  std::uint64_t number(const char* key) {
    return value<std::uint64_t>(
        key, [](const Json& json) { return json.is_number_unsigned(); }, "a non-negative integer");
  }
  std::vector<std::uint64_t> numbers(const char* key) {
    const auto fits = [](const Json& json) {
      return json.is_array() && std::all_of(json.begin(), json.end(), [](const Json& item) { return item.is_number_unsigned(); });
    };
    return value<std::vector<std::uint64_t>>(key, fits, "a list of non-negative integers");
  }
  Digest digest(const char* key) {
    auto parsed = parse_digest(text(key));
    if (!parsed.ok()) return fail(fmt::format("{}: {}", key, parsed.error().message)), Digest{};
    return *parsed;
  }
  std::vector<BlockHash> blocks(const char* key) {
    std::vector<BlockHash> hashes;
    for (const auto& item : list(key)) {
      auto parsed = item.is_string() ? parse_block_hash(item.string()) : Result<BlockHash>(Error{});
      if (!parsed.ok()) return fail(fmt::format("{}: {} is not a block's hash", key, write_json(item))), hashes;
      hashes.push_back(*parsed);
    }
    return hashes;
  }
  const Json& list(const char* key) {
    static const Json none = Json::array();
    if (error_) return none;
    const Json& found = json_[key];
    if (!found.is_array()) return fail(fmt::format("{} is not a list", key)), none;
    return found;
  }

 private:
  template <typename Value, typename Fits>
  Value value(const char* key, Fits fits, std::string_view expected) {
    if (error_) return {};
    const Json& found = json_[key];
    if (!fits(found)) return fail(fmt::format("{} is {}, not {}", key, write_json(found), expected)), Value{};
    return found.get<Value>();
  }
  void fail(const std::string& text) {
    if (!error_) error_ = damaged(where_, "{}", text);
  }

  const Json& json_;
  std::string where_;
  std::optional<Error>& error_;
};

// The tensors' places must tile each file from its header to its end.
std::optional<Error> check_places(const CheckpointManifest& manifest, std::string_view name) {
  const auto& tensors = manifest.content.tensors;
  std::vector<std::size_t> order(tensors.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
    const auto& tensor = tensors[i];
    if (manifest.places[i].file >= manifest.files.size())
      return damaged(name, "{} lies in file {} of {}", tensor.name, manifest.places[i].file, manifest.files.size());
    const auto dtype = find_dtype(tensor.dtype);
    const auto count = element_count(tensor.shape);
    std::uint64_t bytes = 0;
    if (!dtype || !count || __builtin_mul_overflow(*count, dtype_bytes(*dtype), &bytes) || bytes != tensor.bytes) {
      return damaged(name, "{} is {} {}, which does not take {} bytes", tensor.name, tensor.dtype, shape_text(tensor.shape), tensor.bytes);
    }
    if (tensor.blocks.size() != bytes / digest_block_bytes + (bytes % digest_block_bytes != 0))
      return damaged(name, "{} has {} bytes and {} blocks", tensor.name, bytes, tensor.blocks.size());
  }
  const auto key = [&](std::size_t i) { return std::tuple(manifest.places[i].file, manifest.places[i].offset, tensors[i].bytes); };
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) < key(b); });
  std::size_t next = 0;
  for (std::size_t index = 0; index < manifest.files.size(); ++index) {
    const auto& file = manifest.files[index];
    const bool plain = !file.name.empty() && file.name != manifest_name && !file.name.starts_with('.') &&
                       file.name.find('/') == std::string::npos && file.name.find('\0') == std::string::npos;
    if (!plain) return damaged(name, "'{}' is not the name of a file beside it", file.name);
    for (std::size_t other = 0; other < index; ++other) {
      if (manifest.files[other].name == file.name) return damaged(name, "names the file {} twice", file.name);
    }
    if (file.header_bytes > 8 + safetensors_header_bytes_max)
      return damaged(name, "{} has a header of {} bytes, more than {}", file.name, file.header_bytes, 8 + safetensors_header_bytes_max);
    std::uint64_t covered = file.header_bytes;
    for (; next < order.size() && manifest.places[order[next]].file == index; ++next) {
      const auto& tensor = tensors[order[next]];
      const std::uint64_t offset = manifest.places[order[next]].offset;
      if (offset != covered || __builtin_add_overflow(covered, tensor.bytes, &covered))
        return damaged(name, "{}: {} begins at byte {}, not where the one before it ends", file.name, tensor.name, offset);
    }
    if (covered != file.bytes) return damaged(name, "{} has {} bytes, its tensors end at {}", file.name, file.bytes, covered);
  }
  return std::nullopt;
}

}  // namespace

std::string write_manifest(const CheckpointManifest& manifest) {
  const auto& [info, tensors] = manifest.content;
  Json files = Json::array(), list = Json::array();
  for (const auto& file : manifest.files) {
    files.push_back({{"name", file.name},
                     {"bytes", file.bytes},
                     {"header_bytes", file.header_bytes},
                     {"header_sha256", hex(file.header)},
                     {"sha256", hex(file.sha256)}});
  }
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Json blocks = Json::array();
    for (const auto& block : tensors[i].blocks) blocks.push_back(hex(block));
    list.push_back({{"name", tensors[i].name},
                    {"dtype", tensors[i].dtype},
                    {"shape", tensors[i].shape},
                    {"file", manifest.places[i].file},
                    {"offset", manifest.places[i].offset},
                    {"bytes", tensors[i].bytes},
                    {"blocks", std::move(blocks)}});
  }
  std::string text = write_json(Json{{"format", format},
                                     {"version", version},
                                     {"step", info.step},
                                     {"profile", info.profile},
                                     {"digest", hex(info.digest)},
                                     {"files", std::move(files)},
                                     {"tensors", std::move(list)}},
                                1);
  CHECK(text.ends_with("\n}"), "a manifest that ends otherwise");
  text.resize(text.size() - 2);
  const std::string own = hex(sha256(as_bytes(text)));
  return text.append(before_digest).append(own).append(after_digest);
}

Result<CheckpointManifest> parse_manifest(std::string_view text, std::string_view name) {
  constexpr std::size_t tail = before_digest.size() + digest_digits + after_digest.size();
  const std::string_view body = text.substr(0, text.size() - std::min(text.size(), tail));
  if (text.size() < tail || !text.substr(body.size()).starts_with(before_digest) || !text.ends_with(after_digest))
    return damaged(name, "does not end with its own digest: it is cut off or changed");
  const std::string own = hex(sha256(as_bytes(body)));
  const std::string_view stated = text.substr(body.size() + before_digest.size(), digest_digits);
  if (own != stated) return damaged(name, "has the digest {}, but says {}: it is changed", own, stated);

  auto json = parse_json(text, name);
  if (!json.ok()) return Error{ErrorKind::differs, std::move(json).error().message};
  if (!json->is_object() || json->value("format", Json()) != format) return damaged(name, "is not a manifest of a checkpoint");
  if (const Json found = json->value("version", Json()); found != version) {
    return input_error("{}: has format version {}, this godwit reads {}; use the godwit that wrote it or a newer one", name,
                       write_json(found), version);
  }
  std::optional<Error> error;
  CheckpointManifest manifest;
  auto& [info, tensors] = manifest.content;
  Members top(*json, name, {"format", "version", "step", "profile", "digest", "files", "tensors", "manifest_sha256"}, error);
  info = {top.number("step"), top.text("profile"), top.digest("digest")};
  for (const auto& item : top.list("files")) {
    Members file(item, fmt::format("{}: a file", name), {"name", "bytes", "header_bytes", "header_sha256", "sha256"}, error);
    manifest.files.push_back(
        {file.text("name"), file.number("bytes"), file.number("header_bytes"), file.digest("header_sha256"), file.digest("sha256")});
  }
  for (const auto& item : top.list("tensors")) {
    Members tensor(item, fmt::format("{}: a tensor", name), {"name", "dtype", "shape", "file", "offset", "bytes", "blocks"}, error);
    tensors.push_back(
        {tensor.text("name"), tensor.text("dtype"), tensor.numbers("shape"), tensor.number("bytes"), tensor.blocks("blocks")});
    manifest.places.push_back({static_cast<std::size_t>(tensor.number("file")), tensor.number("offset")});
  }
  if (!error) error = check_places(manifest, name);
  if (error) return *error;
  if (const Digest digest = state_digest(tensors); digest != info.digest)
    return damaged(name, "its tensors have the digest {}, but it says {}", hex(digest), hex(info.digest));
  return manifest;
}

}  // namespace godwit::store
