// Anonymous memory of the backend: buffers, the workspace, packed weights.
#pragma once

#include <cstddef>
#include <cstdint>

namespace godwit::cpu {

// Whole pages, given back when it goes. Untouched pages cost nothing; large mappings lie on huge pages where the kernel gives them.
class Mapping {
 public:
  Mapping() = default;
  // Empty (no data) where there is no memory of that size. At least a page.
  explicit Mapping(std::int64_t bytes);
  ~Mapping();
  Mapping(Mapping&& other) noexcept { *this = static_cast<Mapping&&>(other); }
  Mapping& operator=(Mapping&& other) noexcept;

  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace godwit::cpu
