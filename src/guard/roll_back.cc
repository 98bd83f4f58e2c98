#include "guard/roll_back.h"

namespace godwit::guard {

std::optional<Stretch> next_stretch(std::span<const std::uint64_t> checkpoints, std::uint64_t good, std::uint64_t head,
                                    std::span<const Stretch> reproduced, std::uint64_t made_anew) {
  if (made_anew >= made_anew_max || reproduced.size() >= stretches_max) return std::nullopt;
  if (!reproduced.empty() && reproduced.back().from == 0) return std::nullopt;
  const std::uint64_t newest = reproduced.empty() ? good : reproduced.back().from - 1;
  std::optional<std::uint64_t> from;
  for (const std::uint64_t step : checkpoints) {
    if (step <= newest && (!from || step > *from)) from = step;
  }
  if (reproduced.empty()) return Stretch{from.value_or(0), head};
  if (!from) return std::nullopt;
  return Stretch{*from, reproduced.back().from};
}

}  // namespace godwit::guard
