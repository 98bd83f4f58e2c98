#include "guard/memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace godwit::guard {

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
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
  forget();
}

Result<std::byte*> SharedMemory::map(bool writable) {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
  data_ = nullptr;
  void* mapped = mmap(nullptr, static_cast<std::size_t>(bytes_), writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                      writable ? descriptor_ : reading_, 0);
  if (mapped == MAP_FAILED) return world_error("mapping {} bytes of shared memory: {}", bytes_, std::strerror(errno));
  data_ = static_cast<std::byte*>(mapped);
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
