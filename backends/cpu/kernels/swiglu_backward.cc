// dup = dy·(g·s), dgate = (dy·u)·(s·(1 + g·(1−s))), s = sigmoid(g).
#include <cstdint>

#include "agreement.h"
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

Disagreement agrees(const Call& call) {
  const float* gate = call.in[0].f32();
  const float* up = call.in[1].f32();
  const float* dy = call.in[2].f32();
  [[maybe_unused]] const Agreeing agreeing;
  Agreement dgate(call.out[0]);
  Agreement dup(call.out[1]);
  vectors(call.in[0].count(), [&](std::int64_t i, int n) __attribute__((always_inline)) {
    const F32 one = set1(1.0f);
    const F32 g = load_n(gate + i, n);
    const F32 d = load_n(dy + i, n);
    const F32 u = load_n(up + i, n);
    const F32 s = rough_sigmoid(g);
    dup.look(i, d * (g * s), least_of(d, g), n);
    // 1 + g (1 − s) is near zero where the sigmoid's own error is not.
    const F32 du = (d * u) * s;
    const F32 slope = fma(magnitude_of(du), set1(0x1p-12f), least_of(d, u));
    dgate.look(i, du * fma(g, one - s, one), fma(slope, magnitude_of(g), slope), n);
  });
  return dgate.holds() ? dup.as(1) : dgate.as(0);
}

}  // namespace

extern const Kernel swiglu_backward;
const Kernel swiglu_backward{
    .op = "swiglu_backward",
    .variant = [](const Call&) { return "f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b111,
    .agrees = agrees,
};

}  // namespace godwit::cpu::GODWIT_ISA
