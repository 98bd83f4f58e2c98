// left [N,a], right [N,b] → x [N, a+b].
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::size_t size = call.out[0].bf16() ? 2 : 4;
  const std::size_t left = static_cast<std::size_t>(call.in[0].width()) * size;
  const std::size_t right = static_cast<std::size_t>(call.in[1].width()) * size;
  call.pool->ranges(call.out[0].rows(), 256, [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto row = static_cast<std::size_t>(i);
      std::byte* x = call.out[0].as<std::byte>() + row * (left + right);
      std::memcpy(x, call.in[0].as<const std::byte>() + row * left, left);
      std::memcpy(x + left, call.in[1].as<const std::byte>() + row * right, right);
    }
  });
}

}  // namespace

extern const Kernel concat_columns;
const Kernel concat_columns{
    .op = "concat_columns",
    .variant = [](const Call&) { return "copy rows"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b11,
};

}  // namespace godwit::cpu::GODWIT_ISA
