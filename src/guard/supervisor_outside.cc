// What a step takes from outside: workers write what is asked about, the keeper asks, and only what is durable becomes the step's input.
#include "guard/supervisor.h"

#include <fmt/format.h>

#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "guard/messages.h"

namespace godwit::guard {

std::string lost_record(const std::string& record, std::uint64_t step) {
  return fmt::format("{} is missing, and step {} was committed with it: put it back; asked again, whoever wrote it may say something else",
                     record, step);
}

void tell_asked(std::uint64_t step, const Asked& asked, bool first) {
  for (const std::string& each : asked.warnings) log_warning("step {}: {}", step, each);
  if (!first) return;
  for (const std::string& each : asked.unconfined) log_warning("what is asked outside is not confined by {}", each);
}

Result<Drawn> Supervisor::draw(std::uint64_t step) {
  Json batch;
  batch["do"] = "batch";
  batch["state"] = committed_;
  batch["area"] = 0;
  TRY_ASSIGN(const Json done, keep_on(batch, fmt::format("the samples of step {}", step)));
  return drawn_from(done);
}

Result<void> Supervisor::ask(std::uint64_t step, std::string lacks) {
  begin_parts(step, true);
  bool told = false;
  while (true) {
    TRY(propose(step));
    if (!poisoned_.empty()) return {};  // nobody is asked about a batch that is left out
    if (options_.committed && options_.committed(step)) {
      // It was asked once, and the answer may not be another one now.
      waiting_ = lost_record(lacks, step);
      if (!told) log_warning("{}", waiting_);
      told = true;
      record(true);
      const double until = monotonic_seconds() + 0.5;
      while (monotonic_seconds() < until) {
        if (options_.interrupted()) return stopped();
        attend(wait_ms);
      }
    } else {
      Json order;
      order["do"] = "ask";
      order["state"] = committed_;
      order["area"] = 0;
      order["written"] = to_json(standing());
      TRY_ASSIGN(const Json done, keep_on(order, fmt::format("what step {} asks outside", step)));
      TRY_ASSIGN(const Asked asked, asked_from(done));
      for (const Doubt& each : asked.doubts) doubt(each);
      if (!asked.doubts.empty()) continue;
      tell_asked(step, asked, !std::exchange(asked_, true));
    }
    TRY_ASSIGN(Drawn drawn, draw(step));
    lacks = std::move(drawn.lacks);
    if (lacks.empty()) break;
  }
  writing_s_ = longest_writing();
  begin_parts(step, false);
  return {};
}

}  // namespace godwit::guard
