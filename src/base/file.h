// Files: read, mapped, written so that they survive a power cut, and locked.
//
// Every failure is an Error naming the path, what was tried and the system's reason: of kind input where the path itself is at fault
// (missing, a directory, not permitted), else of kind world (disk full, input/output error). Interrupted and short calls are continued.
//
// Everything that changes the disk goes through the few calls listed in DiskOperation, and a test can make any of them fail: see
// ScopedDiskFault. After a failed fsync nothing is known about the bytes: the writers below latch, they never sync again and carry on.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace godwit {

namespace fs = std::filesystem;

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Memory as a disk wants it that is read and written without the system's cache.
inline constexpr std::size_t disk_alignment = 4096;
struct FreeAligned {
  void operator()(std::byte* memory) const;
};
using AlignedBytes = std::unique_ptr<std::byte[], FreeAligned>;
// `bytes` is a multiple of the alignment.
[[nodiscard]] AlignedBytes aligned_bytes(std::size_t bytes);

// ---- Reading ----

// The whole file. More than bytes_max is an error, before anything is read where the size is known. Pipes and devices work.
[[nodiscard]] Result<std::string> read_file(const fs::path& path, std::uint64_t bytes_max = std::uint64_t{1} << 30);

// The bytes from `offset` on, as the file that now has this name holds them. An error of kind differs if it ends before them.
[[nodiscard]] Result<void> read_range(const fs::path& path, std::uint64_t offset, std::span<std::byte> bytes);

// A regular file mapped read-only; movable. The bytes stay valid, at the same address, for the object's life, also after a move.
// Another process that truncates the file meanwhile would end this one (SIGBUS): finished files are replaced by rename, never cut.
class MappedFile {
 public:
  [[nodiscard]] static Result<MappedFile> open(const fs::path& path);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Advises that the file will be read once from front to back.
  void read_ahead() const;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

// Names in the directory (without . and ..), sorted by byte.
[[nodiscard]] Result<std::vector<std::string>> list_directory(const fs::path& path);
// Asks the system to forget what it holds in memory of a file, so that the next reader gets what the disk has. Bytes not synced, or mapped
// by somebody, stay; where a file system cannot, nothing happens.
[[nodiscard]] Result<void> forget_cached(const fs::path& path);
// Bytes a user without privileges can still write on the file system that holds `path`.
[[nodiscard]] Result<std::uint64_t> free_space(const fs::path& path);

// ---- Writing ----

// Creates the directory and its missing parents; each is durable on return. An existing directory is fine.
[[nodiscard]] Result<void> create_directories_durably(const fs::path& path);
// Makes the names inside a directory durable.
[[nodiscard]] Result<void> sync_directory(const fs::path& path);
// Renames a file or directory (replacing a file, or an empty directory) and makes both parents durable. What is renamed must have been
// synced before.
[[nodiscard]] Result<void> rename_durably(const fs::path& from, const fs::path& to);
// Removes a file, or a directory with all it holds; what does not exist is fine. Not synced: a crash may bring it back.
[[nodiscard]] Result<void> remove_tree(const fs::path& path);
// Removes what crashed writers left in a directory: DurableWriter's temporary files. Call it while holding the directory's lock.
[[nodiscard]] Result<void> remove_temporaries(const fs::path& directory);

// Whether what is written stays in the system's memory for the next reader, or goes past it: then writing much costs the cores that compute
// little, and evicts nothing. Where a file system cannot, it stays.
enum class Cached : bool { no, yes };

// Writes a new file aside (".NAME.PID.COUNT.tmp" in the same directory) and puts it in place at commit(): a reader, or a crash at any
// moment, finds the old file or the whole new one. Without commit() the temporary file is removed. After an error every later call
// returns the same error. Not thread-safe.
class DurableWriter {
 public:
  [[nodiscard]] static Result<DurableWriter> create(const fs::path& path, Cached cached = Cached::yes);
  DurableWriter(DurableWriter&& other) noexcept;
  DurableWriter& operator=(DurableWriter&&) = delete;
  ~DurableWriter();

  [[nodiscard]] Result<void> append(std::span<const std::byte> bytes);
  [[nodiscard]] Result<void> append(std::string_view text) { return append(as_bytes(text)); }
  std::uint64_t bytes_written() const { return bytes_written_; }
  // Syncs the file, renames it into place and syncs the directory.
  [[nodiscard]] Result<void> commit();

 private:
  DurableWriter() = default;
  [[nodiscard]] Result<void> flush();
  void abandon();

  fs::path path_;
  fs::path temporary_;
  int descriptor_ = -1;
  AlignedBytes buffer_;
  std::size_t buffered_ = 0;
  std::uint64_t bytes_written_ = 0;
  std::optional<Error> failed_;
};

// create, append, commit.
[[nodiscard]] Result<void> write_file_durably(const fs::path& path, std::span<const std::byte> bytes);
[[nodiscard]] Result<void> write_file_durably(const fs::path& path, std::string_view text);

// A file for others to look at while a process runs: replaced in one piece, not durable.
[[nodiscard]] Result<void> replace_file(const fs::path& path, std::string_view text);

// A file that only grows, for journals and metrics. After an error it is latched: every later call returns the same error until the file
// is opened again, because the bytes on disk are then unknown. Not thread-safe; one writer per file.
class AppendFile {
 public:
  // Opens or creates; a new file's name is durable on return.
  [[nodiscard]] static Result<AppendFile> open(const fs::path& path);
  // Opens the same file again after an error, as it now is; one that is gone is an error, not made anew. What a failed sync left in memory
  // may look written and never reach the disk: bytes that were not synced before must be cut off and written again.
  [[nodiscard]] Result<void> reopen();
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&& other) noexcept;
  ~AppendFile();

  const fs::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // The bytes from `offset` to the end.
  [[nodiscard]] Result<std::string> read_from(std::uint64_t offset) const;
  // An error of kind differs if somebody else cut the file, added to it, removed or replaced it.
  [[nodiscard]] Result<void> check_unchanged() const;
  // Hands the bytes to the system: they survive a crash of this process, after sync() also one of the machine.
  [[nodiscard]] Result<void> append(std::string_view text);
  [[nodiscard]] Result<void> sync();
  // Cuts the file back to its first `size` bytes, durably.
  [[nodiscard]] Result<void> truncate(std::uint64_t size);

 private:
  AppendFile() = default;
  [[nodiscard]] Result<void> attach(int flags);
  fs::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::optional<Error> failed_;
};

// ---- Locking ----

struct LockHolder {
  std::int64_t process = 0;
  std::string started;  // local time, for people
};

// An exclusive lock on a file that is created for it and stays. It ends with the object or with the process, however that dies. The file
// names its holder, so that the loser of a race can. Children that exec do not inherit it.
class LockFile {
 public:
  // Tries for `wait`, then fails with kind input: "{subject} is locked by process 4711 (started 2031-05-07 14:02:10); {advice}".
  [[nodiscard]] static Result<LockFile> acquire(const fs::path& path, std::string_view subject, std::string_view advice,
                                                std::chrono::milliseconds wait = std::chrono::milliseconds(0));
  // Who holds the lock now; nothing if nobody does (or there is no such file). Never takes it.
  [[nodiscard]] static Result<std::optional<LockHolder>> holder(const fs::path& path);

  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&& other) noexcept;
  ~LockFile();

 private:
  explicit LockFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

// ---- Faults, for tests ----

enum class DiskOperation { create, write, sync, rename, truncate, remove, make_directory, sync_directory };

struct DiskCall {
  DiskOperation operation;
  const fs::path& path;
  std::size_t bytes = 0;  // of a write; the hook may lower it to make the write short
};

// While one exists, `hook` runs before every call that changes the disk, in the calling thread, of several threads at once: 0 lets it go
// on, an errno makes it fail without being tried, and while it waits the disk is slow. At most one at a time; its end waits for calls
// that the hook holds up.
class ScopedDiskFault {
 public:
  explicit ScopedDiskFault(std::function<int(DiskCall&)> hook);
  ~ScopedDiskFault();
  ScopedDiskFault(const ScopedDiskFault&) = delete;
  ScopedDiskFault& operator=(const ScopedDiskFault&) = delete;
};

// A hook: writes go at that rate, and every other call waits that long.
[[nodiscard]] std::function<int(DiskCall&)> slow_disk(double bytes_per_second, std::chrono::milliseconds others);

}  // namespace godwit
