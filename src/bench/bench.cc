#include "bench/bench.h"

#include <fmt/format.h>

namespace godwit::bench {

const Ceilings& Context::ceilings() {
  if (!ceilings_) {
    options_.say("the machine's ceilings");
    ceilings_ = device::measure_ceilings(options_.device.threads);
  }
  return *ceilings_;
}

bool Context::wants(std::string_view job, std::string_view dtype) const {
  return (options_.job.empty() || options_.job == job) && (options_.dtype.empty() || dtype.empty() || options_.dtype == dtype);
}

std::string rounds_text(const Context& context) {
  const int rounds = context.options().rounds;
  return rounds == 1 ? std::string() : fmt::format(", best of {} rounds", rounds);
}

Result<void> Context::check_interrupted() const {
  if (options_.interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
  return {};
}

}  // namespace godwit::bench
