// The workspace cut into the parts a kernel needs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::cpu {

[[nodiscard]] constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

// Hands out parts of the workspace. Over a null base it only counts, so that one function describes both size and places.
class Carve {
 public:
  explicit Carve(std::byte* base) : base_(base) {}
  template <typename T>
  T* take(std::int64_t count) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += round_up(count * static_cast<std::int64_t>(sizeof(T)), 64);
    return reinterpret_cast<T*>(at);
  }
  [[nodiscard]] std::int64_t used() const { return used_; }

 private:
  std::byte* base_;
  std::int64_t used_ = 0;
};

}  // namespace godwit::cpu
