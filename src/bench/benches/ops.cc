// Where the time of a step goes: every op and shape of a training step, against what the machine could do of it.
#include "bench/bench.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr double seconds_each = 6;

Result<Report> run(Context& context) {
  Report report;
  device::DeviceOptions device = context.options().device;
  device.profile = true;
  const std::string dtype = context.options().dtype.empty() ? "bf16" : context.options().dtype;
  for (const char* preset : {"mini", "dense30"}) {
    if (!context.wants(preset)) continue;
    TRY_ASSIGN(TrainingFigures figures, run_training(context, {.preset = preset, .dtype = dtype}, device, seconds_each));
    CHECK(figures.ops.has_value(), "a profiled run has no table of ops");
    report.ops.push_back(std::move(*figures.ops));
  }
  report.notes.emplace_back(
      "FLOPs and bytes by Op::cost; of ceiling: max(FLOPs / peak, bytes / read bandwidth) over the time taken, above 100 % where");
  report.notes.emplace_back("data came from a cache. Runs, ms: per step of batch 4 × 256. Outside ops: digest, journal, data, calls.");
  return report;
}

}  // namespace

extern const Bench ops;
const Bench ops{.name = "ops", .summary = "Where a step's time goes, by op and shape.", .jobs = {"mini", "dense30"}, .run = run};

}  // namespace godwit::bench
