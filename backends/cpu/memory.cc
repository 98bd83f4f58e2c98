#include "memory.h"

#include <sys/mman.h>

#include <utility>

namespace godwit::cpu {

namespace {
constexpr std::int64_t page = 4096;
constexpr std::int64_t huge_page = std::int64_t{2} << 20;
}  // namespace

Mapping::Mapping(std::int64_t bytes) {
  const std::int64_t whole = bytes <= 0 ? page : (bytes + page - 1) / page * page;
  void* memory = mmap(nullptr, static_cast<std::size_t>(whole), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  if (whole >= huge_page) madvise(memory, static_cast<std::size_t>(whole), MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(memory);
  bytes_ = whole;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(bytes_));
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace godwit::cpu
