#include "guard/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace godwit::guard {

namespace {

std::size_t page_bytes() {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return page;
}
// Before it and behind it: address space alone.
std::size_t guard_bytes() {
  return 64 * page_bytes();
}
std::size_t guarded_bytes(std::int64_t bytes) {
  return (static_cast<std::size_t>(bytes) + page_bytes() - 1) / page_bytes() * page_bytes() + 2 * guard_bytes();
}

}  // namespace

Result<SharedMemory> SharedMemory::create(const std::string& name, std::int64_t bytes) {
  SharedMemory memory;
  memory.bytes_ = bytes;
  const auto failed = [&](const char* what) {
    return world_error("shared memory {} of {} bytes: {}: {}", name, bytes, what, std::strerror(errno));
  };
  memory.descriptor_ = memfd_create(("godwit " + name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (memory.descriptor_ < 0) return failed("create");
  if (ftruncate(memory.descriptor_, bytes) != 0) return failed("size");
  if (fcntl(memory.descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return failed("seal");
  memory.reading_ = open(fmt::format("/proc/self/fd/{}", memory.descriptor_).c_str(), O_RDONLY | O_CLOEXEC);
  if (memory.reading_ < 0) return failed("open for reading");
  return memory;
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept {
  *this = std::move(other);
}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(reading_, other.reading_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

SharedMemory::~SharedMemory() {
  unmap();
  forget();
}

void SharedMemory::unmap() {
  if (data_ != nullptr) munmap(data_ - guard_bytes(), guarded_bytes(bytes_));
  data_ = nullptr;
}

Result<std::byte*> SharedMemory::map(bool writable) {
  unmap();
  const auto failed = [&] { return world_error("mapping {} bytes of shared memory: {}", bytes_, std::strerror(errno)); };
  void* room = mmap(nullptr, guarded_bytes(bytes_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return failed();
  std::byte* data = static_cast<std::byte*>(room) + guard_bytes();
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  if (mmap(data, static_cast<std::size_t>(bytes_), protection, MAP_SHARED | MAP_FIXED, writable ? descriptor_ : reading_, 0) ==
      MAP_FAILED) {
    const Error error = failed();
    munmap(room, guarded_bytes(bytes_));
    return error;
  }
  data_ = data;
  return data_;
}

void SharedMemory::discard() {
  // A system that cannot keeps them: that costs memory alone.
  (void)fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, bytes_);
}

void SharedMemory::forget() {
  if (descriptor_ >= 0) close(descriptor_);
  if (reading_ >= 0) close(reading_);
  descriptor_ = reading_ = -1;
}

}  // namespace godwit::guard
