// Decoupled weight decay Adam, one pass over the memory.
#include <cstdint>

#include "kernel.h"
#include "rows.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const float* w = call.in[0].f32();
  const float* m = call.in[1].f32();
  const float* v = call.in[2].f32();
  const float* gradient = call.in[3].f32();
  const F32 scale = set1(call.in[4].f32()[0]);
  const float rate = call.in[5].f32()[0];
  const F32 lr = set1(rate);
  const F32 c1 = set1(call.in[6].f32()[0]);
  const F32 c2 = set1(call.in[7].f32()[0]);
  const F32 beta1 = set1(call.real32("beta1"));
  const F32 beta2 = set1(call.real32("beta2"));
  const F32 rest1 = set1(static_cast<float>(1.0 - call.real("beta1")));
  const F32 rest2 = set1(static_cast<float>(1.0 - call.real("beta2")));
  const F32 eps = set1(call.real32("eps"));
  const F32 keep = set1(1.0f - rate * call.real32("decay"));
  elements(*call.pool, call.in[0].count(), [&](std::int64_t begin, std::int64_t end) {
    vectors(end - begin, [&](std::int64_t offset, int n) {
      const std::int64_t i = begin + offset;
      const F32 g = load_n(gradient + i, n) * scale;
      const F32 m_next = fma(rest1, g, beta1 * load_n(m + i, n));
      const F32 v_next = fma(rest2, g * g, beta2 * load_n(v + i, n));
      const F32 u = (m_next / c1) / (sqrt(v_next / c2) + eps);
      store_n(call.out[0].f32() + i, fnma(lr, u, load_n(w + i, n) * keep), n);
      store_n(call.out[1].f32() + i, m_next, n);
      store_n(call.out[2].f32() + i, v_next, n);
    });
  });
}

}  // namespace

extern const Kernel adamw;
const Kernel adamw{
    .op = "adamw",
    .variant = [](const Call&) { return "f32"; },
    .workspace = nullptr,
    .run = run,
    .by_rows = 0b1111,
};

}  // namespace godwit::cpu::GODWIT_ISA
