#include "device/guarded_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "godwit/backend.h"

namespace godwit::device {

namespace {

constexpr std::byte pattern{0xB7};

std::int64_t up(std::int64_t bytes, std::int64_t to) {
  return (bytes + to - 1) / to * to;
}

std::int64_t page_bytes() {
  static const std::int64_t page = sysconf(_SC_PAGESIZE);
  return page;
}
// On either side: address space alone, and a row or a tile too far is not beyond it.
std::int64_t guard_bytes() {
  return 64 * page_bytes();
}

bool intact(std::span<const std::byte> zone) {
  return std::ranges::all_of(zone, [](std::byte byte) { return byte == pattern; });
}

}  // namespace

GuardedMemory::GuardedMemory(std::int64_t bytes) {
  const std::int64_t whole = up(std::max<std::int64_t>(bytes, 1), GODWIT_ALIGNMENT), guard = guard_bytes();
  mapped_ = up(whole, page_bytes()) + 2 * guard;
  void* mapped = mmap(nullptr, static_cast<std::size_t>(mapped_), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) return;
  mapping_ = static_cast<std::byte*>(mapped);
  if (mprotect(mapping_ + guard, static_cast<std::size_t>(mapped_ - 2 * guard), PROT_READ | PROT_WRITE) != 0) return;
  data_ = mapping_ + mapped_ - guard - whole;
  bytes_ = bytes;
  std::ranges::fill(before(), pattern);
  std::ranges::fill(behind(), pattern);
}

GuardedMemory& GuardedMemory::operator=(GuardedMemory&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

GuardedMemory::~GuardedMemory() {
  if (mapping_ != nullptr) munmap(mapping_, static_cast<std::size_t>(mapped_));
}

std::span<std::byte> GuardedMemory::before() const {
  return {mapping_ + guard_bytes(), data_};
}
std::span<std::byte> GuardedMemory::behind() const {
  return {data_ + bytes_, mapping_ + mapped_ - guard_bytes()};
}

GuardedMemory::Edge GuardedMemory::edge() const {
  if (data_ == nullptr) return Edge::whole;
  if (!intact(before())) return Edge::before;
  return intact(behind()) ? Edge::whole : Edge::behind;
}

}  // namespace godwit::device
