// The most this machine gives, measured: what every other figure is a share of.
#pragma once

#include <optional>

namespace godwit::device {

struct Ceilings {
  int threads = 1;
  double f32_flops = 0;              // per second; a fused multiply-add is two
  std::optional<double> bf16_flops;  // by vdpbf16ps, where the machine has it
  double read_bytes = 0;             // per second, from memory

  // Where there is no bf16 unit, bf16 operands are multiplied as f32.
  [[nodiscard]] double flops(bool bf16) const { return bf16 && bf16_flops ? *bf16_flops : f32_flops; }
};

// The widest instructions the machine has, whatever the device was told to use, on `threads` threads at once. Takes four seconds, or more
// where other processes keep taking cores away; each figure is the best of several, because what else runs on the machine only ever takes
// away.
[[nodiscard]] Ceilings measure_ceilings(int threads);

}  // namespace godwit::device
