#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <shared_mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace godwit {
namespace {

constexpr std::size_t write_buffer_bytes = std::size_t{1} << 20;

// The lock is never touched where nothing tests faults: a process that forks must not hand a locked one to its child.
struct DiskFault {
  std::atomic<bool> active = false;
  std::shared_mutex mutex;
  std::function<int(DiskCall&)> hook;
};
DiskFault& disk_fault() {
  static DiskFault fault;
  return fault;
}

// Whether the fault lets the call happen; if not, errno is set as the call would have.
bool permitted(DiskCall& call) {
  DiskFault& fault = disk_fault();
  if (!fault.active) return true;
  const std::shared_lock lock(fault.mutex);
  const int code = fault.hook ? fault.hook(call) : 0;
  errno = code;
  return code == 0;
}
bool permitted(DiskOperation operation, const fs::path& path) {
  DiskCall call{operation, path, 0};
  return permitted(call);
}

template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

Error failure(const fs::path& path, std::string_view tried, int code = errno) {
  static constexpr std::array path_is_at_fault{ENOENT, ENOTDIR, EACCES, EPERM, EROFS, EISDIR, ENAMETOOLONG, ELOOP};
  const bool input = std::find(path_is_at_fault.begin(), path_is_at_fault.end(), code) != path_is_at_fault.end();
  return Error{input ? ErrorKind::input : ErrorKind::world,
               fmt::format("{}: cannot {}: {}", path.string(), tried, std::generic_category().message(code))};
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int operator*() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

// The calls that change the disk: all there are.

int disk_open(const fs::path& path, int flags) {
  if (!permitted(DiskOperation::create, path)) return -1;
  return uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); });
}
int disk_create(const fs::path& path, int flags) {
  return disk_open(path, flags | O_CREAT);
}

// Whether this changed anything: past the system's cache or not.
bool set_direct(int descriptor, bool direct) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0) == direct) return false;
  return ::fcntl(descriptor, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

bool disk_write(int descriptor, const fs::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    DiskCall call{DiskOperation::write, path, bytes.size()};
    if (!permitted(call)) return false;
    const auto written = uninterrupted([&] { return ::write(descriptor, bytes.data(), std::min(call.bytes, bytes.size())); });
    // What is left of a short write, or a file's end, is not aligned.
    if (written < 0 && errno == EINVAL && set_direct(descriptor, false)) continue;
    if (written < 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return true;
}

bool disk_sync(int descriptor, const fs::path& path) {
  return permitted(DiskOperation::sync, path) && uninterrupted([&] { return ::fsync(descriptor); }) == 0;
}

bool disk_truncate(int descriptor, const fs::path& path, std::uint64_t size) {
  return permitted(DiskOperation::truncate, path) && uninterrupted([&] { return ::ftruncate(descriptor, static_cast<off_t>(size)); }) == 0;
}

bool disk_rename(const fs::path& from, const fs::path& to) {
  return permitted(DiskOperation::rename, to) && ::rename(from.c_str(), to.c_str()) == 0;
}

bool disk_make_directory(const fs::path& path) {
  return permitted(DiskOperation::make_directory, path) && ::mkdir(path.c_str(), 0777) == 0;
}

bool disk_remove(const fs::path& path) {
  return permitted(DiskOperation::remove, path) && ::remove(path.c_str()) == 0;
}

// A failed removal that is only tidying up must not hide the error that led to it.
void disk_remove_quietly(const fs::path& path) {
  const int code = errno;
  static_cast<void>(disk_remove(path));
  errno = code;
}

fs::path parent_of(const fs::path& path) {
  const auto parent = path.has_filename() ? path.parent_path() : path.parent_path().parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

std::optional<LockHolder> read_holder(int descriptor) {
  std::array<char, 128> text{};
  const auto count = ::pread(descriptor, text.data(), text.size(), 0);
  if (count <= 0) return std::nullopt;
  std::string_view line(text.data(), static_cast<std::size_t>(count));
  line = line.substr(0, line.find('\n'));
  LockHolder holder;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), holder.process);
  if (error != std::errc() || end == line.data() + line.size()) return std::nullopt;
  holder.started = std::string(end + 1, line.data() + line.size());
  return holder;
}

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}

}  // namespace

// ---- Reading ----

Result<std::string> read_file(const fs::path& path, std::uint64_t bytes_max) {
  Descriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (*file < 0) return failure(path, "open");
  struct stat status {};
  if (::fstat(*file, &status) != 0) return failure(path, "stat");
  const std::uint64_t expected = S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
  if (expected > bytes_max) return input_error("{}: is {} bytes; at most {} are read here", path.string(), expected, bytes_max);
  std::string content;
  // One byte more than expected, so that the end is seen without another round.
  std::size_t capacity = static_cast<std::size_t>(expected) + 1;
  for (;;) {
    const std::size_t have = content.size();
    content.resize(std::max(capacity, have + 1));
    const auto count = uninterrupted([&] { return ::read(*file, content.data() + have, content.size() - have); });
    if (count < 0) return failure(path, "read");
    content.resize(have + static_cast<std::size_t>(count));
    if (count == 0) return content;
    if (content.size() > bytes_max) return input_error("{}: is more than {} bytes; no more are read here", path.string(), bytes_max);
    if (content.size() == capacity) capacity = capacity * 2 + 4096;
  }
}

Result<void> read_range(const fs::path& path, std::uint64_t offset, std::span<std::byte> bytes) {
  Descriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (*file < 0) return failure(path, "open");
  while (!bytes.empty()) {
    const auto count = uninterrupted([&] { return ::pread(*file, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (count < 0) return failure(path, "read");
    if (count == 0) return differs_error("{}: ends {} bytes before what is read there", path.string(), bytes.size());
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

Result<MappedFile> MappedFile::open(const fs::path& path) {
  Descriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (*file < 0) return failure(path, "open");
  struct stat status {};
  if (::fstat(*file, &status) != 0) return failure(path, "stat");
  if (!S_ISREG(status.st_mode)) return input_error("{}: is not a regular file", path.string());
  MappedFile mapped;
  mapped.size_ = static_cast<std::size_t>(status.st_size);
  if (mapped.size_ == 0) return mapped;
  void* address = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_SHARED, *file, 0);
  if (address == MAP_FAILED) {
    mapped.size_ = 0;
    return failure(path, "map");
  }
  mapped.data_ = static_cast<const std::byte*>(address);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::read_ahead() const {
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_SEQUENTIAL);
}

Result<std::vector<std::string>> list_directory(const fs::path& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return failure(path, "list");
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  const int code = errno;
  ::closedir(directory);
  if (code != 0) return failure(path, "list", code);
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> forget_cached(const fs::path& path) {
  Descriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (*file < 0) return failure(path, "open");
  static_cast<void>(::posix_fadvise(*file, 0, 0, POSIX_FADV_DONTNEED));
  return {};
}

Result<std::uint64_t> free_space(const fs::path& path) {
  struct statvfs status {};
  if (uninterrupted([&] { return ::statvfs(path.c_str(), &status); }) != 0) return failure(path, "ask the free space");
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

// ---- Writing ----

Result<void> sync_directory(const fs::path& path) {
  Descriptor directory(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (*directory < 0) return failure(path, "open");
  if (!permitted(DiskOperation::sync_directory, path)) return failure(path, "sync the directory");
  // Some file systems cannot sync a directory and say EINVAL; there is nothing better to do there.
  if (uninterrupted([&] { return ::fsync(*directory); }) != 0 && errno != EINVAL) return failure(path, "sync the directory");
  return {};
}

Result<void> create_directories_durably(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISDIR(status.st_mode)) return input_error("{}: exists and is not a directory", path.string());
    return {};
  }
  const fs::path parent = parent_of(path);
  if (parent != path) TRY(create_directories_durably(parent));
  if (!disk_make_directory(path) && errno != EEXIST) return failure(path, "create the directory");
  return sync_directory(parent);
}

Result<void> rename_durably(const fs::path& from, const fs::path& to) {
  if (!disk_rename(from, to)) return failure(to, fmt::format("rename {} to it", from.string()));
  const fs::path source = parent_of(from), target = parent_of(to);
  TRY(sync_directory(target));
  if (source != target) TRY(sync_directory(source));
  return {};
}

Result<void> remove_tree(const fs::path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return {};
    return failure(path, "stat");
  }
  if (S_ISDIR(status.st_mode)) {
    TRY_ASSIGN(const auto names, list_directory(path));
    for (const auto& name : names) TRY(remove_tree(path / name));
  }
  if (!disk_remove(path) && errno != ENOENT) return failure(path, "remove");
  return {};
}

Result<void> remove_temporaries(const fs::path& directory) {
  TRY_ASSIGN(const auto names, list_directory(directory));
  for (const auto& name : names) {
    if (name.starts_with('.') && name.ends_with(".tmp")) TRY(remove_tree(directory / name));
  }
  return {};
}

void FreeAligned::operator()(std::byte* memory) const {
  std::free(memory);
}

AlignedBytes aligned_bytes(std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(disk_alignment, bytes));
  CHECK(memory != nullptr, "no {} bytes", bytes);
  return AlignedBytes(memory);
}

Result<DurableWriter> DurableWriter::create(const fs::path& path, Cached cached) {
  static std::atomic<std::uint64_t> count = 0;
  DurableWriter writer;
  writer.path_ = path;
  writer.temporary_ = parent_of(path) / fmt::format(".{}.{}.{}.tmp", path.filename().string(), ::getpid(), count++);
  writer.descriptor_ = disk_create(writer.temporary_, O_WRONLY | O_TRUNC);
  if (writer.descriptor_ < 0) return failure(path, "create");
  if (cached == Cached::no) static_cast<void>(set_direct(writer.descriptor_, true));
  writer.buffer_ = aligned_bytes(write_buffer_bytes);
  return writer;
}

DurableWriter::DurableWriter(DurableWriter&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)),
      buffered_(other.buffered_),
      bytes_written_(other.bytes_written_),
      failed_(std::move(other.failed_)) {}

DurableWriter::~DurableWriter() {
  abandon();
}

void DurableWriter::abandon() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  disk_remove_quietly(temporary_);
}

Result<void> DurableWriter::append(std::span<const std::byte> bytes) {
  if (failed_) return *failed_;
  CHECK(descriptor_ >= 0, "append to {} after commit", path_.string());
  bytes_written_ += bytes.size();
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), write_buffer_bytes - buffered_);
    std::memcpy(buffer_.get() + buffered_, bytes.data(), count);
    buffered_ += count;
    bytes = bytes.subspan(count);
    if (buffered_ == write_buffer_bytes) TRY(flush());
  }
  return {};
}

Result<void> DurableWriter::flush() {
  if (!disk_write(descriptor_, path_, {buffer_.get(), buffered_})) {
    failed_ = failure(path_, "write");
    return *failed_;
  }
  buffered_ = 0;
  return {};
}

Result<void> DurableWriter::commit() {
  if (failed_) return *failed_;
  CHECK(descriptor_ >= 0, "{} is committed twice", path_.string());
  TRY(flush());
  if (!disk_sync(descriptor_, path_)) {
    failed_ = failure(path_, "sync");
    return *failed_;
  }
  if (!disk_rename(temporary_, path_)) {
    failed_ = failure(path_, fmt::format("rename {} to it", temporary_.string()));
    return *failed_;
  }
  ::close(std::exchange(descriptor_, -1));
  auto synced = sync_directory(parent_of(path_));
  if (!synced.ok()) failed_ = synced.error();
  return synced;
}

Result<void> write_file_durably(const fs::path& path, std::span<const std::byte> bytes) {
  TRY_ASSIGN(auto writer, DurableWriter::create(path));
  TRY(writer.append(bytes));
  return writer.commit();
}

Result<void> write_file_durably(const fs::path& path, std::string_view text) {
  return write_file_durably(path, as_bytes(text));
}

Result<void> replace_file(const fs::path& path, std::string_view text) {
  const fs::path aside = path.parent_path() / fmt::format(".{}.{}.tmp", path.filename().string(), ::getpid());
  {
    std::ofstream stream(aside, std::ios::binary | std::ios::trunc);
    stream.write(text.data(), static_cast<std::streamsize>(text.size()));
    if (!stream.flush()) return world_error("{}: write: {}", aside.string(), std::strerror(errno));
  }
  if (::rename(aside.c_str(), path.c_str()) != 0) return world_error("{}: rename: {}", path.string(), std::strerror(errno));
  return {};
}

Result<AppendFile> AppendFile::open(const fs::path& path) {
  AppendFile file;
  file.path_ = path;
  TRY(file.attach(O_CREAT));
  TRY(sync_directory(parent_of(path)));
  return file;
}

Result<void> AppendFile::reopen() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  auto attached = attach(0);
  failed_ = attached.ok() ? std::nullopt : std::optional(attached.error());
  return attached;
}

Result<void> AppendFile::attach(int flags) {
  descriptor_ = disk_open(path_, O_RDWR | O_APPEND | flags);
  if (descriptor_ < 0) return failure(path_, "open");
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return failure(path_, "stat");
  if (!S_ISREG(status.st_mode)) return input_error("{}: is not a regular file", path_.string());
  size_ = static_cast<std::uint64_t>(status.st_size);
  return {};
}

Result<std::string> AppendFile::read_from(std::uint64_t offset) const {
  if (failed_) return *failed_;
  std::string text(static_cast<std::size_t>(size_ - std::min(size_, offset)), '\0');
  for (std::size_t have = 0; have < text.size();) {
    const auto count =
        uninterrupted([&] { return ::pread(descriptor_, text.data() + have, text.size() - have, static_cast<off_t>(offset + have)); });
    if (count < 0) return failure(path_, "read");
    if (count == 0) return differs_error("{}: ends at byte {}, and had {}", path_.string(), offset + have, size_);
    have += static_cast<std::size_t>(count);
  }
  return text;
}

Result<void> AppendFile::check_unchanged() const {
  if (failed_) return *failed_;
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) return failure(path_, "stat");
  if (status.st_nlink == 0) return differs_error("{}: was removed or replaced while it was written", path_.string());
  if (static_cast<std::uint64_t>(status.st_size) != size_) {
    return differs_error("{}: has {} bytes where {} were written: another process changed it", path_.string(), status.st_size, size_);
  }
  return {};
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      failed_(std::move(other.failed_)) {}

AppendFile& AppendFile::operator=(AppendFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  std::swap(failed_, other.failed_);
  return *this;
}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<void> AppendFile::append(std::string_view text) {
  if (failed_) return *failed_;
  if (!disk_write(descriptor_, path_, as_bytes(text))) {
    failed_ = failure(path_, "write");
    return *failed_;
  }
  size_ += text.size();
  return {};
}

Result<void> AppendFile::sync() {
  if (failed_) return *failed_;
  if (!disk_sync(descriptor_, path_)) {
    failed_ = failure(path_, "sync");
    return *failed_;
  }
  return {};
}

Result<void> AppendFile::truncate(std::uint64_t size) {
  if (failed_) return *failed_;
  CHECK(size <= size_, "{}: truncate to {} bytes, has {}", path_.string(), size, size_);
  if (!disk_truncate(descriptor_, path_, size)) {
    failed_ = failure(path_, "truncate");
    return *failed_;
  }
  size_ = size;
  return sync();
}

// ---- Locking ----

Result<LockFile> LockFile::acquire(const fs::path& path, std::string_view subject, std::string_view advice,
                                   std::chrono::milliseconds wait) {
  Descriptor file(disk_create(path, O_RDWR));
  if (*file < 0) return failure(path, "open");
  const auto give_up = std::chrono::steady_clock::now() + wait;
  for (;;) {
    // An open-file-description lock: unlike a process-wide one it also keeps out a second opener in this process, and closing another
    // descriptor of the same file does not drop it.
    struct flock lock = whole_file(F_WRLCK);
    if (uninterrupted([&] { return ::fcntl(*file, F_OFD_SETLK, &lock); }) == 0) break;
    if (errno != EAGAIN && errno != EACCES) return failure(path, "lock");
    if (std::chrono::steady_clock::now() >= give_up) {
      const auto holder = read_holder(*file);
      if (!holder) return input_error("{} is locked by another process; {}", subject, advice);
      return input_error("{} is locked by process {} (started {}); {}", subject, holder->process, holder->started, advice);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const std::string line = fmt::format("{} {}\n", ::getpid(), local_time_text());
  if (!disk_truncate(*file, path, 0) || !disk_write(*file, path, as_bytes(line))) return failure(path, "write");
  return LockFile(file.release());
}

Result<std::optional<LockHolder>> LockFile::holder(const fs::path& path) {
  Descriptor file(uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC); }));
  if (*file < 0) {
    if (errno == ENOENT) return std::optional<LockHolder>();
    return failure(path, "open");
  }
  struct flock lock = whole_file(F_RDLCK);
  if (uninterrupted([&] { return ::fcntl(*file, F_OFD_GETLK, &lock); }) != 0) return failure(path, "ask for the lock");
  if (lock.l_type == F_UNLCK) return std::optional<LockHolder>();
  // Between taking the lock and writing its name the holder is there but unknown.
  return std::optional<LockHolder>(read_holder(*file).value_or(LockHolder{}));
}

LockFile::LockFile(LockFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

LockFile& LockFile::operator=(LockFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

LockFile::~LockFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// ---- Faults, for tests ----

ScopedDiskFault::ScopedDiskFault(std::function<int(DiskCall&)> hook) {
  const std::lock_guard lock(disk_fault().mutex);
  CHECK(!disk_fault().active, "two disk faults at once");
  disk_fault().hook = std::move(hook);
  disk_fault().active = true;
}

ScopedDiskFault::~ScopedDiskFault() {
  disk_fault().active = false;
  const std::lock_guard lock(disk_fault().mutex);
  disk_fault().hook = nullptr;
}

std::function<int(DiskCall&)> slow_disk(double bytes_per_second, std::chrono::milliseconds others) {
  return [=](DiskCall& call) {
    const std::chrono::duration<double> writing(static_cast<double>(call.bytes) / bytes_per_second);
    if (call.operation == DiskOperation::write) {
      std::this_thread::sleep_for(writing);
    } else {
      std::this_thread::sleep_for(others);
    }
    return 0;
  };
}

}  // namespace godwit
