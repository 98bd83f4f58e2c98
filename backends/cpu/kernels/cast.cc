// f32 ↔ bf16.
#include <cstdint>
#include <cstring>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const View& x = call.in[0];
  const View& y = call.out[0];
  if (x.dtype == y.dtype) {
    std::memcpy(y.data, x.data, static_cast<std::size_t>(x.count()) * (x.bf16() ? 2 : 4));
    return;
  }
  elements(*call.pool, x.count(), [&](std::int64_t begin, std::int64_t end) {
    if (y.bf16()) {
      vectors(end - begin, [&](std::int64_t i, int n) {
        const F32 value = load_n(x.f32() + begin + i, n);
        if (n == lanes) {
          store_bf16(y.u16() + begin + i, value);
        } else {
          store_bf16_first(y.u16() + begin + i, value, n);
        }
      });
    } else {
      vectors(end - begin, [&](std::int64_t i, int n) { store_n(y.f32() + begin + i, load_bf16_first(x.u16() + begin + i, n), n); });
    }
  });
}

}  // namespace

extern const Kernel cast;
const Kernel cast{
    .op = "cast",
    .variant = [](const Call& call) { return call.out[0].bf16() ? "to bf16" : "to f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1,
};

}  // namespace godwit::cpu::GODWIT_ISA
