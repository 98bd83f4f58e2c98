// norm = sqrt(Σ sums), scale = min(1, clip / norm).
#include <cmath>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const float clip = call.real32("clip");
  float total = 0.0f;
  for (const View& sum : call.in) total = total + sum.f32()[0];
  const float norm = std::sqrt(total);
  float scale = 1.0f;
  if (clip > 0.0f) {
    const float q = clip / norm;
    scale = norm != norm ? norm : (q < 1.0f ? q : 1.0f);
  }
  call.out[0].f32()[0] = norm;
  call.out[1].f32()[0] = scale;
}

}  // namespace

extern const Kernel global_norm;
const Kernel global_norm{
    .op = "global_norm",
    .variant = [](const Call&) { return "plain"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
