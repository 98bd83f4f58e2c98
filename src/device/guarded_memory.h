// Memory that ends where pages begin that nobody may touch, with others before it: kernels that write outside their buffer end the process
// there and then. What lies between a border and the memory, less than a page, holds a pattern that can be looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace godwit::device {

class GuardedMemory {
 public:
  GuardedMemory() = default;
  // Zeroed, aligned to 512 bytes, not touched until it is used; data() is null where there is no memory.
  explicit GuardedMemory(std::int64_t bytes);
  GuardedMemory(GuardedMemory&& other) noexcept { *this = std::move(other); }
  GuardedMemory& operator=(GuardedMemory&& other) noexcept;
  ~GuardedMemory();

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }
  // Whether nobody wrote just before or just behind it.
  enum class Edge : std::uint8_t { whole, before, behind };
  [[nodiscard]] Edge edge() const;

 private:
  [[nodiscard]] std::span<std::byte> before() const;
  [[nodiscard]] std::span<std::byte> behind() const;
  std::byte* mapping_ = nullptr;  // with these pages
  std::int64_t mapped_ = 0;
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace godwit::device
