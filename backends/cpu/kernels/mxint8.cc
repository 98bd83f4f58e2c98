// f32 through blocks of 8 bits. Weights that are multiplied by do not pass here: they are packed as blocks (gemm_blocks.h).
#include "mxint8.h"

#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const View& x = call.in[0];
  const View& y = call.out[0];
  const std::int64_t width = x.width();
  call.pool->ranges(x.rows(), 8, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t at = 0; at < width; at += mxint8::block_length) {
        const std::int64_t count = std::min(mxint8::block_length, width - at);
        const mxint8::Block block = mxint8::block_of(x.f32() + row * width + at, count);
        for (std::int64_t i = 0; i < count; ++i) {
          const float value = block.scale == mxint8::not_finite ? std::bit_cast<float>(0x7FC00000u) : block.value(i);
          if (y.bf16()) {
            y.u16()[row * width + at + i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);  // exact
          } else {
            y.f32()[row * width + at + i] = value;
          }
        }
      }
    }
  });
}

}  // namespace

extern const Kernel mxint8;
const Kernel mxint8{
    .op = "mxint8",
    .variant = [](const Call& call) { return call.out[0].bf16() ? "to bf16" : "to f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1,
};

}  // namespace godwit::cpu::GODWIT_ISA
