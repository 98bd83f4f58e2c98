// y = a + b.
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  if (call.in[0].dtype == GODWIT_I32) {
    const std::int32_t* a = call.in[0].i32();
    const std::int32_t* b = call.in[1].i32();
    for (std::int64_t i = 0; i < call.in[0].count(); ++i) {
      call.out[0].i32()[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a[i]) + static_cast<std::uint32_t>(b[i]));
    }
    return;
  }
  const float* a = call.in[0].f32();
  const float* b = call.in[1].f32();
  float* y = call.out[0].f32();
  elements(*call.pool, call.in[0].count(), [&](std::int64_t begin, std::int64_t end) {
    vectors(end - begin, [&](std::int64_t i, int n) { store_n(y + begin + i, load_n(a + begin + i, n) + load_n(b + begin + i, n), n); });
  });
}

}  // namespace

extern const Kernel add;
const Kernel add{
    .op = "add",
    .variant = [](const Call& call) { return call.in[0].dtype == GODWIT_I32 ? "i32" : "f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b11,
};

}  // namespace godwit::cpu::GODWIT_ISA
