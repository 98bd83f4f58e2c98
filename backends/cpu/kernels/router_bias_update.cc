// bias' = bias + speed·(sign(mean load − load) − mean of the signs).
#include <cstdint>

#include "kernel.h"

namespace godwit::cpu::GODWIT_ISA {
namespace {

void run(const Call& call) {
  const std::int64_t experts = call.in[0].count();
  const float* bias = call.in[0].f32();
  const std::int32_t* counts = call.in[1].i32();
  const float speed = call.in[2].f32()[0];
  std::int64_t total = 0;
  for (std::int64_t e = 0; e < experts; ++e) total += counts[e];
  const auto sign = [&](std::int64_t e) {
    const std::int64_t difference = total - experts * counts[e];
    return (difference > 0) - (difference < 0);
  };
  std::int64_t sum = 0;
  for (std::int64_t e = 0; e < experts; ++e) sum += sign(e);
  const float mean = static_cast<float>(sum) / static_cast<float>(experts);
  for (std::int64_t e = 0; e < experts; ++e) call.out[0].f32()[e] = bias[e] + speed * (static_cast<float>(sign(e)) - mean);
}

}  // namespace

extern const Kernel router_bias_update;
const Kernel router_bias_update{
    .op = "router_bias_update",
    .variant = [](const Call&) { return "plain"; },
    .workspace = nullptr,
    .run = run,
};

}  // namespace godwit::cpu::GODWIT_ISA
