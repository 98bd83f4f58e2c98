// dup = dy·(g·s), dgate = (dy·u)·(s·(1 + g·(1−s))), s = sigmoid(g).
#include <cstdint>

#include "functions.h"
#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const float* gate = call.in[0].f32();
  const float* up = call.in[1].f32();
  const float* dy = call.in[2].f32();
  const Sink dgate(call.out[0]);
  const Sink dup(call.out[1]);
  elements(*call.pool, call.in[0].count(), [&](std::int64_t begin, std::int64_t end) {
    vectors(end - begin, [&](std::int64_t offset, int n) {
      const std::int64_t i = begin + offset;
      const F32 one = set1(1.0f);
      const F32 g = load_n(gate + i, n);
      const F32 u = load_n(up + i, n);
      const F32 d = load_n(dy + i, n);
      const F32 s = sigmoid(g);
      dup.put(i, d * (g * s), n);
      dgate.put(i, (d * u) * (s * fma(g, one - s, one)), n);
    });
  });
}

}  // namespace

extern const Kernel swiglu_backward;
const Kernel swiglu_backward{
    .op = "swiglu_backward",
    .variant = [](const Call&) { return "f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b111,
};

}  // namespace godwit::cpu::GODWIT_ISA
