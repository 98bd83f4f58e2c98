// What both families of products share: which rows make a group, what is packed at a time, and the chain of an operand's type.
#pragma once

#include <algorithm>

#include "gemm_pack.h"
#include "gemm_plan.h"
#include "kernel.h"
#include "workspace.h"

namespace godwit::cpu::GODWIT_ISA::gemm {

// What is packed together should stay in a shared cache, and must not need as much memory as a vocabulary's weights.
inline constexpr std::int64_t packed_bytes = std::int64_t{32} << 20;
inline constexpr std::int64_t pack_steps = 256;  // of one panel by one thread

// Groups of consecutive rows by ascending offsets, `stride` offsets to a group. Offsets are data: whatever they hold, no row outside [0,
// limit) is named.
struct Groups {
  const std::int32_t* offsets = nullptr;  // null: every group is all rows
  std::int64_t stride = 1;
  std::int64_t limit = 0;

  [[nodiscard]] Range operator[](std::int64_t group) const {
    if (offsets == nullptr) return {0, limit};
    const std::int64_t begin = std::clamp<std::int64_t>(offsets[group * stride], 0, limit);
    return {begin, std::clamp<std::int64_t>(offsets[(group + 1) * stride], begin, limit)};
  }
};

// Rows that will be read soon, to be brought into L2 some lines at a time.
class Ahead {
 public:
  struct Part {
    const std::byte* data = nullptr;
    std::int64_t stride = 0;
    std::int64_t width = 0;  // bytes
    std::int64_t rows = 0;
  };
  void add(const Part& part) { parts_[count_++] = part; }
  [[nodiscard]] std::int64_t lines() const {
    std::int64_t all = 0;
    for (int i = now_; i < count_; ++i) all += parts_[i].rows * pieces(parts_[i].width, line);
    return all;
  }
  void fetch(std::int64_t lines) {
    while (lines > 0 && now_ < count_) {
      const Part& part = parts_[now_];
      if (row_ == part.rows) {
        ++now_;
        row_ = 0;
        continue;
      }
      const std::byte* at = part.data + row_ * part.stride;
      for (; lines > 0 && column_ < part.width; column_ += line, --lines) __builtin_prefetch(at + column_, 0, 2);
      if (column_ >= part.width) {
        column_ = 0;
        ++row_;
      }
    }
    asm volatile("");  // GCC takes a function that only prefetches for one without effects, and drops its calls
  }

 private:
  static constexpr std::int64_t line = 64;
  Part parts_[2];
  int count_ = 0;
  int now_ = 0;
  std::int64_t row_ = 0;
  std::int64_t column_ = 0;
};

template <typename Body>
auto with_chain(const View& operand, const Body& body) {
  return operand.bf16() ? body(Bf16Chain{}) : body(F32Chain{});
}

inline TileShape tile_shape(std::int64_t rows, std::int64_t columns) {
  return {static_cast<int>(std::min<std::int64_t>(rows, tile_rows)),
          static_cast<int>(std::min<std::int64_t>(pieces(columns, lanes), tile_vectors))};
}

}  // namespace godwit::cpu::GODWIT_ISA::gemm
