#include "store/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <mutex>
#include <system_error>
#include <utility>

#include "base/file.h"
#include "base/machine.h"
#include "store/checkpoint_manifest.h"
#include "store/safetensors.h"
#include "store/spread.h"

namespace godwit::store {
namespace {

constexpr std::size_t blocks_at_once = 16;
constexpr std::size_t bytes_per_thread = std::size_t{4} << 20;
constexpr std::uint64_t manifest_bytes_max = std::uint64_t{1} << 30;

std::string step_name(std::uint64_t step) {
  return fmt::format("{}", step);
}

std::optional<std::uint64_t> step_of(std::string_view name) {
  std::uint64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  // Written back, so that "007" is no checkpoint.
  if (error != std::errc() || step_name(step) != name) return std::nullopt;
  return step;
}

// A regular file read at any place from any thread; what is read stays readable when the name is gone.
class ReadOnlyFile {
 public:
  static Result<ReadOnlyFile> open(const fs::path& path, Cached cached) {
    ReadOnlyFile file;
    file.path_ = path.string();
    constexpr int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    file.direct_ = cached == Cached::no && (file.descriptor_ = ::open(path.c_str(), flags | O_DIRECT)) >= 0;
    if (!file.direct_) file.descriptor_ = ::open(path.c_str(), flags);
    if (file.descriptor_ < 0) return differs_error("{}: cannot open: {}", file.path_, std::generic_category().message(errno));
    struct stat status {};
    if (::fstat(file.descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) return differs_error("{}: is not a regular file", file.path_);
    file.size_ = static_cast<std::uint64_t>(status.st_size);
    return file;
  }
  ReadOnlyFile(ReadOnlyFile&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), direct_(other.direct_), size_(other.size_) {}
  ReadOnlyFile& operator=(ReadOnlyFile&&) = delete;
  ~ReadOnlyFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  const std::string& path() const { return path_; }
  std::uint64_t size() const { return size_; }

  Result<void> read(std::uint64_t offset, std::span<std::byte> bytes) const {
    if (direct_) return read_direct(offset, bytes);
    while (!bytes.empty()) {
      const auto count = ::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return unreadable(offset);
      if (count == 0) return differs_error("{}: ends at byte {}", path_, offset);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
      offset += static_cast<std::uint64_t>(count);
    }
    return {};
  }

 private:
  ReadOnlyFile() = default;
  Error unreadable(std::uint64_t offset) const {
    return differs_error("{}: cannot read at byte {}: {}", path_, offset, std::generic_category().message(errno));
  }
  // By whole pieces of the disk.
  Result<void> read_direct(std::uint64_t offset, std::span<std::byte> bytes) const {
    static thread_local const AlignedBytes piece = aligned_bytes(direct_bytes);
    while (!bytes.empty()) {
      const std::uint64_t begin = offset / disk_alignment * disk_alignment;
      const std::size_t wanted =
          std::min<std::size_t>(direct_bytes, (offset - begin + bytes.size() + disk_alignment - 1) / disk_alignment * disk_alignment);
      const auto count = ::pread(descriptor_, piece.get(), wanted, static_cast<off_t>(begin));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return unreadable(begin);
      if (begin + static_cast<std::uint64_t>(count) <= offset)
        return differs_error("{}: ends at byte {}", path_, begin + static_cast<std::uint64_t>(count));
      const std::size_t got = std::min<std::size_t>(bytes.size(), begin + static_cast<std::uint64_t>(count) - offset);
      std::memcpy(bytes.data(), piece.get() + (offset - begin), got);
      bytes = bytes.subspan(got);
      offset += got;
    }
    return {};
  }

  static constexpr std::size_t direct_bytes = std::size_t{2} << 20;
  std::string path_;
  int descriptor_ = -1;
  bool direct_ = false;
  std::uint64_t size_ = 0;
};

}  // namespace

// A checkpoint whose manifest and names have been checked; the tensors' bytes are checked as they are read.
struct CheckpointReader::Opened {
  CheckpointManifest manifest;
  std::vector<ReadOnlyFile> files;

  static Result<std::shared_ptr<const Opened>> open(const fs::path& root, std::uint64_t step);
  // The checkpoint of `step` in a directory of any name; if `written` is given, its manifest is exactly that text.
  static Result<std::shared_ptr<const Opened>> open_directory(const fs::path& directory, std::uint64_t step,
                                                              const std::string* written = nullptr);
  // Reads blocks [first, last) of a tensor into bytes, which are then compared with the manifest: what is checked is what is used.
  Result<void> read_blocks(std::size_t tensor, std::size_t first, std::size_t last, std::span<std::byte> bytes) const;
  // All tensors, spread over threads: into `state`, or, without one, only to look at them.
  Result<void> read_all(const StateList* state, int threads_max) const;
  // Reads all that was written to `directory`, from the disk as far as the system lets us, and compares it with what was in memory.
  static Result<void> read_back(const fs::path& directory, std::uint64_t step, const std::string& manifest);
};

Result<std::shared_ptr<const CheckpointReader::Opened>> CheckpointReader::Opened::open(const fs::path& root, std::uint64_t step) {
  const fs::path directory = root / step_name(step);
  std::error_code ignored;
  if (!fs::is_directory(directory, ignored)) return input_error("{}: there is no checkpoint of step {}", root.string(), step);
  return open_directory(directory, step);
}

Result<std::shared_ptr<const CheckpointReader::Opened>> CheckpointReader::Opened::open_directory(const fs::path& directory,
                                                                                                 std::uint64_t step,
                                                                                                 const std::string* written) {
  auto opened = std::make_shared<Opened>();
  const std::string name = (directory / manifest_name).string();
  TRY_ASSIGN(const auto manifest_file, ReadOnlyFile::open(directory / manifest_name, Cached::yes));
  if (manifest_file.size() > manifest_bytes_max)
    return differs_error("{}: has {} bytes, a manifest has at most {}", name, manifest_file.size(), manifest_bytes_max);
  std::string text(static_cast<std::size_t>(manifest_file.size()), '\0');
  TRY(manifest_file.read(0, std::as_writable_bytes(std::span(text))));
  if (written != nullptr && text != *written) return differs_error("{}: is not the manifest that was written", name);
  TRY_ASSIGN(opened->manifest, parse_manifest(text, name));
  const auto& manifest = opened->manifest;
  if (manifest.content.info.step != step) {
    return differs_error("{}: is the manifest of step {}, in the directory of step {}", name, manifest.content.info.step, step);
  }
  std::vector<std::string> expected = {std::string(manifest_name)};
  for (const auto& file : manifest.files) expected.push_back(file.name);
  std::sort(expected.begin(), expected.end());
  TRY_ASSIGN(const auto names, list_directory(directory));
  for (const auto& there : names) {
    if (!std::binary_search(expected.begin(), expected.end(), there))
      return differs_error("{}: does not belong to the checkpoint; remove it if it is not needed", (directory / there).string());
  }
  for (const auto& file : manifest.files) {
    if (!std::binary_search(names.begin(), names.end(), file.name))
      return differs_error("{}: is missing", (directory / file.name).string());
    TRY_ASSIGN(auto read, ReadOnlyFile::open(directory / file.name, written != nullptr ? Cached::no : Cached::yes));
    if (read.size() != file.bytes) return differs_error("{}: has {} bytes, the manifest says {}", read.path(), read.size(), file.bytes);
    std::vector<std::byte> header(static_cast<std::size_t>(file.header_bytes));
    TRY(read.read(0, header));
    if (const Digest digest = sha256(header); digest != file.header) {
      return differs_error("{}: its header ({} bytes) has the digest {}, the manifest says {}", read.path(), header.size(), hex(digest),
                           hex(file.header));
    }
    opened->files.push_back(std::move(read));
  }
  return std::shared_ptr<const Opened>(std::move(opened));
}

Result<void> CheckpointReader::Opened::read_blocks(std::size_t tensor, std::size_t first, std::size_t last,
                                                   std::span<std::byte> bytes) const {
  const auto& digest = manifest.content.tensors[tensor];
  const auto& [file, offset] = manifest.places[tensor];
  TRY(files[file].read(offset + first * digest_block_bytes, bytes));
  for (std::size_t block = first; block < last; ++block) {
    const std::size_t start = (block - first) * digest_block_bytes;
    const BlockHash hash = hash_block(bytes.subspan(start, std::min(digest_block_bytes, bytes.size() - start)));
    if (hash != digest.blocks[block]) {
      return differs_error("{}: {}, block {} of {} (from byte {} of the file) has the hash {}, the manifest says {}", files[file].path(),
                           digest.name, block, digest.blocks.size(), offset + block * digest_block_bytes, hex(hash),
                           hex(digest.blocks[block]));
    }
  }
  return {};
}

Result<void> CheckpointReader::Opened::read_all(const StateList* state, int threads_max) const {
  struct Piece {
    std::size_t tensor = 0, first = 0, last = 0;
  };
  std::vector<Piece> pieces;
  const auto& tensors = manifest.content.tensors;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::size_t blocks = tensors[i].blocks.size();
    for (std::size_t first = 0; first < blocks; first += blocks_at_once)
      pieces.push_back({i, first, std::min(first + blocks_at_once, blocks)});
    total += tensors[i].bytes;
  }
  std::mutex mutex;
  std::optional<std::pair<std::size_t, Error>> failed;  // the first in the order of the list, whichever thread is faster
  const int threads = total < bytes_per_thread ? 1 : threads_max;
  spread(pieces.size(), threads, [&](std::size_t index) {
    const auto [tensor, first, last] = pieces[index];
    const std::uint64_t begin = first * digest_block_bytes, end = std::min<std::uint64_t>(last * digest_block_bytes, tensors[tensor].bytes);
    static thread_local std::vector<std::byte> looked_at;
    std::span<std::byte> bytes;
    if (state != nullptr) {
      bytes = (*state)[tensor].bytes.subspan(begin, end - begin);
    } else {
      looked_at.resize(blocks_at_once * digest_block_bytes);
      bytes = std::span(looked_at).first(end - begin);
    }
    auto read = read_blocks(tensor, first, last, bytes);
    if (read.ok()) return;
    const std::lock_guard lock(mutex);
    if (!failed || index < failed->first) failed.emplace(index, std::move(read).error());
  });
  if (failed) return failed->second;
  return {};
}

namespace {

// "F32 [8, 64]"
std::string type_text(std::string_view dtype, std::span<const std::uint64_t> shape) {
  return fmt::format("{} {}", dtype, shape_text(shape));
}

std::optional<Error> check_list(const fs::path& directory, std::span<const TensorDigest> tensors, const StateList& state) {
  for (std::size_t i = 0; i < std::max(tensors.size(), state.size()); ++i) {
    if (i >= tensors.size()) {
      return input_error("{}: the run's state has {} {}, the checkpoint ends after {} tensors", directory.string(), state[i].name,
                         type_text(state[i].dtype, state[i].shape), tensors.size());
    }
    if (i >= state.size()) {
      return input_error("{}: the checkpoint holds {} {}, the run's state ends after {} tensors", directory.string(), tensors[i].name,
                         type_text(tensors[i].dtype, tensors[i].shape), state.size());
    }
    if (tensors[i].name != state[i].name || tensors[i].dtype != state[i].dtype || tensors[i].shape != state[i].shape) {
      return input_error("{}: tensor {} of the checkpoint is {} {}, that of the run's state is {} {}", directory.string(), i,
                         tensors[i].name, type_text(tensors[i].dtype, tensors[i].shape), state[i].name,
                         type_text(state[i].dtype, state[i].shape));
    }
    CHECK(state[i].bytes.size() == tensors[i].bytes, "{} {} has {} bytes", state[i].name, type_text(state[i].dtype, state[i].shape),
          state[i].bytes.size());
  }
  return std::nullopt;
}

// A tensor of the state, held to its digest on the way to the disk: memory that changed since its commit must not become a checkpoint.
OutputTensor checked_output(const StateTensor& tensor, const TensorDigest& digest) {
  const auto dtype = find_dtype(tensor.dtype);
  CHECK(dtype.has_value(), "{} has the dtype {}", tensor.name, tensor.dtype);
  return {tensor.name, *dtype, tensor.shape, [&tensor, &digest](const ByteSink& sink) -> Result<void> {
            for (std::size_t block = 0; block < digest.blocks.size(); ++block) {
              const std::size_t start = block * digest_block_bytes;
              const auto bytes = tensor.bytes.subspan(start, std::min(digest_block_bytes, tensor.bytes.size() - start));
              if (const BlockHash hash = hash_block(bytes); hash != digest.blocks[block]) {
                return differs_error(
                    "{}, block {} of {}, has the hash {} in memory, but {} when its digest was taken; no checkpoint was written",
                    tensor.name, block, digest.blocks.size(), hex(hash), hex(digest.blocks[block]));
              }
              TRY(sink(bytes));
            }
            return {};
          }};
}

// Writes the tensors' files into `directory` and says where everything lies.
Result<CheckpointManifest> write_files(const fs::path& directory, const StateList& state, std::span<const TensorDigest> digests,
                                       std::uint64_t shard_bytes_max) {
  std::vector<std::pair<std::size_t, std::size_t>> shards;
  std::uint64_t in_shard = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i < state.size(); ++i) {
    if (i > start && in_shard + state[i].bytes.size() > shard_bytes_max) {
      shards.emplace_back(start, i);
      start = i;
      in_shard = 0;
    }
    in_shard += state[i].bytes.size();
  }
  shards.emplace_back(start, state.size());

  CheckpointManifest manifest;
  for (std::size_t shard = 0; shard < shards.size(); ++shard) {
    const std::string name =
        shards.size() == 1 ? "state.safetensors" : fmt::format("state-{:05}-of-{:05}.safetensors", shard + 1, shards.size());
    const fs::path path = directory / name;
    std::vector<OutputTensor> tensors;
    for (std::size_t i = shards[shard].first; i < shards[shard].second; ++i) tensors.push_back(checked_output(state[i], digests[i]));
    TRY_ASSIGN(const SafetensorsDigest digest, write_safetensors(path, tensors, {}, Cached::no));
    // The layout is taken from the file as a reader sees it, not worked out a second time; the digests are those of memory.
    TRY_ASSIGN(const auto written, MappedFile::open(path));
    const auto parsed = SafetensorsFile::parse(written.bytes(), path.string());
    if (!parsed.ok()) return world_error("the disk gives back another file than was written: {}", parsed.error().message);
    const SafetensorsFile& layout = *parsed;
    const auto offset_of = [&](const TensorEntry& entry) {
      return static_cast<std::uint64_t>(entry.bytes.data() - written.bytes().data());
    };
    const std::uint64_t header_bytes = layout.entries().empty() ? written.bytes().size() : offset_of(layout.entries().front());
    for (std::size_t i = shards[shard].first; i < shards[shard].second; ++i) {
      const auto* entry = layout.find(state[i].name);
      if (entry == nullptr)
        return world_error("{}: {} was written, but the disk gives back a file without it", path.string(), state[i].name);
      manifest.places.push_back({manifest.files.size(), offset_of(*entry)});
    }
    manifest.files.push_back({name, written.bytes().size(), header_bytes, digest.header, digest.file});
  }
  return manifest;
}

}  // namespace

// By one thread, in the order of the disk: a checkpoint must not take the cores of the run whose state it is.
Result<void> CheckpointReader::Opened::read_back(const fs::path& directory, std::uint64_t step, const std::string& manifest) {
  TRY_ASSIGN(const auto names, list_directory(directory));
  for (const std::string& name : names) TRY(forget_cached(directory / name));
  const auto checked = [&]() -> Result<void> {
    TRY_ASSIGN(const auto opened, open_directory(directory, step, &manifest));
    return opened->read_all(nullptr, 1);
  }();
  if (checked.ok()) return {};
  return world_error("checkpoint {} was written and read back otherwise, and is not kept: {}", step, checked.error().message);
}

// Whole, by its own word, and not for this program to read, still less to replace.
static bool is_of_another_version(const fs::path& root, std::uint64_t step) {
  std::error_code ignored;
  if (!fs::is_directory(root / step_name(step), ignored)) return false;
  const auto opened = CheckpointReader::Opened::open(root, step);
  return !opened.ok() && opened.error().kind == ErrorKind::input;
}

Result<void> write_checkpoint(const fs::path& root, std::uint64_t step, const StateList& state, std::span<const TensorDigest> digests,
                              std::string_view profile, std::uint64_t shard_bytes_max) {
  CHECK(state.size() == digests.size(), "{} tensors, {} digests", state.size(), digests.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    const bool same = state[i].name == digests[i].name && state[i].dtype == digests[i].dtype && state[i].shape == digests[i].shape &&
                      state[i].bytes.size() == digests[i].bytes;
    CHECK(same, "tensor {} is {} {}, its digest that of {} {}", i, state[i].name, type_text(state[i].dtype, state[i].shape),
          digests[i].name, type_text(digests[i].dtype, digests[i].shape));
  }
  const CheckpointInfo info{step, std::string(profile), state_digest(digests)};
  const fs::path target = root / step_name(step);
  const fs::path aside = root / fmt::format(".{}.tmp", step), bad = root / fmt::format(".{}.bad.tmp", step);
  std::error_code ignored;
  const bool exists = fs::exists(fs::symlink_status(target, ignored));
  if (exists) {
    if (is_of_another_version(root, step)) return CheckpointReader::Opened::open(root, step).error();
    if (const auto there = CheckpointReader::Opened::open(root, step); there.ok() && (*there)->read_all(nullptr, 1).ok()) {
      const CheckpointInfo& held = (*there)->manifest.content.info;
      if (held.digest == info.digest && held.profile == profile) return {};
      return differs_error("{}: holds {} ({}), which is intact; it is not replaced by {} ({}). Move it away if it is not wanted",
                           target.string(), hex(held.digest), held.profile, hex(info.digest), profile);
    }
  }
  const auto write = [&]() -> Result<void> {
    TRY(create_directories_durably(root));
    TRY(remove_tree(aside));
    TRY(create_directories_durably(aside));
    TRY_ASSIGN(auto manifest, write_files(aside, state, digests, shard_bytes_max));
    manifest.content = {info, std::vector(digests.begin(), digests.end())};
    const std::string text = write_manifest(manifest);
    TRY(write_file_durably(aside / manifest_name, text));
    TRY(CheckpointReader::Opened::read_back(aside, step, text));
    if (exists) {
      TRY(remove_tree(bad));
      TRY(rename_durably(target, bad));
    }
    TRY(rename_durably(aside, target));
    return {};
  };
  auto written = write();
  // Tidying up: what cannot be removed now is removed at the next start, and neither hides an error nor makes one.
  if (!written.ok()) static_cast<void>(remove_tree(aside));
  if (exists) static_cast<void>(remove_tree(bad));
  return written;
}

Result<std::vector<std::uint64_t>> list_checkpoints(const fs::path& root) {
  std::vector<std::uint64_t> steps;
  std::error_code ignored;
  if (!fs::exists(root, ignored)) return steps;
  TRY_ASSIGN(const auto names, list_directory(root));
  for (const auto& name : names) {
    if (const auto step = step_of(name)) steps.push_back(*step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

Result<CheckpointInfo> load_checkpoint(const fs::path& root, std::uint64_t step, const StateList& state) {
  TRY_ASSIGN(const auto opened, CheckpointReader::Opened::open(root, step));
  const auto& content = opened->manifest.content;
  if (auto error = check_list(root / step_name(step), content.tensors, state)) return *error;
  TRY(opened->read_all(&state, machine().cores));
  return content.info;
}

Result<CheckpointContent> verify_checkpoint(const fs::path& root, std::uint64_t step) {
  TRY_ASSIGN(const auto reader, CheckpointReader::open(root, step));
  return reader.content();
}

Result<CheckpointReader> CheckpointReader::open(const fs::path& root, std::uint64_t step) {
  CheckpointReader reader;
  TRY_ASSIGN(reader.opened_, Opened::open(root, step));
  TRY(reader.opened_->read_all(nullptr, machine().cores));
  return reader;
}

const CheckpointContent& CheckpointReader::content() const {
  return opened_->manifest.content;
}

const TensorDigest* CheckpointReader::find(std::string_view tensor) const {
  const auto& tensors = content().tensors;
  const auto found = std::find_if(tensors.begin(), tensors.end(), [&](const TensorDigest& item) { return item.name == tensor; });
  return found == tensors.end() ? nullptr : &*found;
}

Result<void> CheckpointReader::read(std::string_view tensor, std::span<std::byte> bytes) const {
  const auto* found = find(tensor);
  if (found == nullptr) return input_error("the checkpoint of step {} has no tensor {}", content().info.step, tensor);
  if (found->bytes != bytes.size()) {
    return input_error("the checkpoint of step {}: {} is {} of {} bytes, {} are wanted", content().info.step, tensor,
                       type_text(found->dtype, found->shape), found->bytes, bytes.size());
  }
  const auto index = static_cast<std::size_t>(found - content().tensors.data());
  for (std::size_t first = 0; first < found->blocks.size(); first += blocks_at_once) {
    const std::size_t last = std::min(first + blocks_at_once, found->blocks.size()), begin = first * digest_block_bytes;
    TRY(opened_->read_blocks(index, first, last, bytes.subspan(begin, std::min(last * digest_block_bytes, bytes.size()) - begin)));
  }
  return {};
}

Result<std::optional<CheckpointInfo>> load_newest(const fs::path& root, const StateList& state, std::vector<std::string>& refused,
                                                  std::uint64_t last) {
  TRY_ASSIGN(auto steps, list_checkpoints(root));
  std::erase_if(steps, [&](std::uint64_t step) { return step > last; });
  for (; !steps.empty(); steps.pop_back()) {
    auto loaded = load_checkpoint(root, steps.back(), state);
    if (loaded.ok()) return std::optional(std::move(loaded).value());
    if (is_of_another_version(root, steps.back())) return loaded.error();
    refused.push_back(fmt::format("checkpoint {}: {}", steps.back(), loaded.error().message));
  }
  return std::optional<CheckpointInfo>();
}

std::vector<std::uint64_t> steps_to_remove(std::span<const std::uint64_t> steps, const Retention& retention) {
  std::vector<std::uint64_t> sorted(steps.begin(), steps.end()), removed;
  std::sort(sorted.begin(), sorted.end());
  std::uint64_t newest_not_after = 0;
  for (const std::uint64_t step : sorted) {
    if (retention.not_after && step <= *retention.not_after) newest_not_after = step;
  }
  const std::size_t older = sorted.size() - static_cast<std::size_t>(std::min<std::uint64_t>(retention.last, sorted.size()));
  for (std::size_t i = 0; i < older; ++i) {
    const std::uint64_t step = sorted[i];
    const bool kept = (retention.every != 0 && step % retention.every == 0) ||
                      std::find(retention.keep.begin(), retention.keep.end(), step) != retention.keep.end() ||
                      (retention.not_after && step == newest_not_after);
    if (!kept) removed.push_back(step);
  }
  return removed;
}

Result<void> apply_retention(const fs::path& root, const Retention& retention) {
  TRY_ASSIGN(const auto steps, list_checkpoints(root));
  for (const std::uint64_t step : steps_to_remove(steps, retention)) {
    // Out of the list first, so that a crash half-way leaves no half checkpoint among the whole ones.
    const fs::path removed = root / fmt::format(".{}.old.tmp", step);
    TRY(remove_tree(removed));
    TRY(rename_durably(root / step_name(step), removed));
    TRY(remove_tree(removed));
  }
  return {};
}

}  // namespace godwit::store
