// y_t = table[ids_t].
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::size_t row_bytes = static_cast<std::size_t>(call.out[0].width()) * (call.out[0].bf16() ? 2 : 4);
  const std::int64_t sources = call.in[0].rows();
  const std::int32_t* rows = call.in[1].i32();
  call.pool->ranges(call.in[1].count(), 64, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      std::byte* y = call.out[0].as<std::byte>() + static_cast<std::size_t>(i) * row_bytes;
      const std::int64_t source = rows[i];
      if (source >= 0 && source < sources) {
        std::memcpy(y, call.in[0].as<const std::byte>() + static_cast<std::size_t>(source) * row_bytes, row_bytes);
      } else {
        std::memset(y, 0, row_bytes);
      }
    }
  });
}

}  // namespace

extern const Kernel embedding;
const Kernel embedding{
    .op = "embedding",
    .variant = [](const Call&) { return "copy rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b10,
};

}  // namespace godwit::cpu::GODWIT_ISA
