#include "guard/pulse.h"

namespace godwit::guard {

std::vector<const Fault*> Pulse::enter(Phase phase, std::uint64_t step) {
  phase_ = phase;
  step_ = step;
  cell_->phase.store(static_cast<std::uint32_t>(phase), std::memory_order_relaxed);
  beat();
  return faults() ? faults_->pass(here({})) : std::vector<const Fault*>();
}

std::vector<const Fault*> Pulse::op(std::string_view name) {
  beat();
  return faults() && !name.empty() ? faults_->pass(here(name)) : std::vector<const Fault*>();
}

void Pulse::tell(const Fault& fault, std::string_view what) {
  faults_->tell(fault, here({}), what);
}

}  // namespace godwit::guard
