// Training steps as `godwit train` takes them, digest and journal included, against the peak of the operands' dtype.
#include "bench/bench.h"
#include "bench/flops.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr double seconds_each = 8;

struct Case {
  TrainingJob job;
  double target;  // share of peak
};
const Case cases[] = {
    {{.preset = "dense30", .dtype = "bf16"}, 0.65},
    {{.preset = "dense30", .dtype = "f32"}, 0.80},
    {{.preset = "mini", .dtype = "bf16"}, 0.50},
    {{.preset = "mini", .dtype = "f32"}, 0.68},
    {{.preset = "nano", .dtype = "f32", .batch = 32, .sequence = 32}, 0.35},
};

Result<Report> run(Context& context) {
  Report report;
  for (const Case& each : cases) {
    if (!context.wants(each.job.preset, each.job.dtype)) continue;
    TRY_ASSIGN(const TrainingFigures figures, run_training(context, each.job, context.options().device, seconds_each));
    const double flops = training_flops(preset_config(each.job.preset), each.job.sequence);
    const std::string shape = fmt::format("batch {} × {}", each.job.batch, each.job.sequence);
    report.rows.push_back({.job = each.job.name() + ", " + shape,
                           .value = figures.tokens_per_s,
                           .unit = "tokens/s",
                           .ceiling = context.ceilings().flops(each.job.dtype == "bf16") / flops,
                           .target = Target{.value = each.target},
                           .note = fmt::format("{} peak at {} MFLOP per token; median of {} steps", each.job.dtype,
                                               number_text(flops / 1e6), figures.steps)});
  }
  report.notes.emplace_back(training_formula);
  return report;
}

}  // namespace

extern const Bench train;
const Bench train{
    .name = "train", .summary = "Training speed, as a share of the arithmetic peak.", .jobs = {"dense30", "mini", "nano"}, .run = run};

}  // namespace godwit::bench
