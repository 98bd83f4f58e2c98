// cache_write(rows, slots, positions) updates cache: cache[slot, position] = row. Rows of no place in the cache are written nowhere.
#include <algorithm>
#include <cstring>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

// Threads share the columns, not the rows: should two rows name one cell, the later one wins, as in the plain loop.
void write_columns(const Call& call) {
  const View& rows = call.in[0];
  const View& cache = call.out[0];
  const std::int32_t* slots = call.in[1].i32();
  const std::int32_t* positions = call.in[2].i32();
  const std::int64_t streams = cache.shape[0];
  const std::int64_t capacity = cache.shape[1];
  const std::int64_t count = rows.shape[0];
  const std::int64_t width = rows.width() * (rows.bf16() ? 2 : 4);  // bytes
  constexpr std::int64_t worth_a_thread = 1 << 16;
  const std::int64_t grain = std::max<std::int64_t>(64, worth_a_thread / std::max<std::int64_t>(count, 1));
  call.pool->ranges(width, grain, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t t = 0; t < count; ++t) {
      if (slots[t] < 0 || slots[t] >= streams || positions[t] < 0 || positions[t] >= capacity) continue;
      std::byte* to = cache.as<std::byte>() + (slots[t] * capacity + positions[t]) * width;
      std::memcpy(to + begin, rows.as<std::byte>() + t * width + begin, static_cast<std::size_t>(end - begin));
    }
  });
}

}  // namespace

extern const Kernel cache_write;
const Kernel cache_write{
    .op = "cache_write",
    .variant = [](const Call&) { return "copy"; },
    .workspace = nullptr,
    .run = write_columns,
    .proof = Kernel::Proof::none,
};

}  // namespace godwit::cpu::GODWIT_ISA
