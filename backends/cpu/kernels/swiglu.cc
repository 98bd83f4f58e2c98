// y = (g·sigmoid(g))·u.
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
  const Sink y(call.out[0]);
  elements(*call.pool, call.in[0].count(), [&](std::int64_t begin, std::int64_t end) {
    // A sigmoid is one long chain: two of them take hardly longer than one.
    std::int64_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      const F32 g[2] = {load(gate + i), load(gate + i + lanes)};
      const F32 s[2] = {sigmoid(g[0]), sigmoid(g[1])};
      for (int k = 0; k < 2; ++k) y.put(i + k * lanes, (g[k] * s[k]) * load(up + i + k * lanes), lanes);
    }
    vectors(end - i, [&](std::int64_t j, int n) {
      const F32 g = load_n(gate + i + j, n);
      y.put(i + j, (g * sigmoid(g)) * load_n(up + i + j, n), n);
    });
  });
}

Disagreement agrees(const Call& call) {
  const float* gate = call.in[0].f32();
  const float* up = call.in[1].f32();
  [[maybe_unused]] const Agreeing agreeing;
  Agreement y(call.out[0]);
  vectors(
      call.in[0].count(), [&](std::int64_t i, int n) __attribute__((always_inline)) {
        const F32 g = load_n(gate + i, n);
        const F32 u = load_n(up + i, n);
        y.look(i, (g * rough_sigmoid(g)) * u, least_of(g, u), n);
      });
  return y.as(0);
}

}  // namespace

extern const Kernel swiglu;
const Kernel swiglu{
    .op = "swiglu",
    .variant = [](const Call&) { return "f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b11,
    .agrees = agrees,
};

}  // namespace godwit::cpu::GODWIT_ISA
