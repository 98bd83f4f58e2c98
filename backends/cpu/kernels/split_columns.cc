// x [N, a+b] → left [N,a], right [N,b].
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::size_t size = call.in[0].bf16() ? 2 : 4;
  const std::size_t left = static_cast<std::size_t>(call.out[0].width()) * size;
  const std::size_t right = static_cast<std::size_t>(call.out[1].width()) * size;
  call.pool->ranges(call.in[0].rows(), 256, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = static_cast<std::size_t>(i);
      const std::byte* x = call.in[0].as<const std::byte>() + row * (left + right);
      std::memcpy(call.out[0].as<std::byte>() + row * left, x, left);
      std::memcpy(call.out[1].as<std::byte>() + row * right, x + left, right);
    }
  });
}

}  // namespace

extern const Kernel split_columns;
const Kernel split_columns{
    .op = "split_columns",
    .variant = [](const Call&) { return "copy rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1,
};

}  // namespace godwit::cpu::GODWIT_ISA
