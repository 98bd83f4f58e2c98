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
  std::vector<const Case*> wanted;
  for (const Case& each : cases) {
    if (context.wants(each.job.preset, each.job.dtype)) wanted.push_back(&each);
  }
  std::vector<TrainingFigures> best(wanted.size());
  for (int round = 0; round < context.options().rounds; ++round) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      TRY_ASSIGN(TrainingFigures figures, run_training(context, wanted[i]->job, context.options().device, seconds_each));
      if (figures.tokens_per_s > best[i].tokens_per_s) best[i] = std::move(figures);
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const TrainingJob& job = wanted[i]->job;
    const double flops = training_flops(preset_config(job.preset), job.sequence);
    report.rows.push_back({.job = fmt::format("{}, batch {} × {}", job.name(), job.batch, job.sequence),
                           .value = best[i].tokens_per_s,
                           .unit = "tokens/s",
                           .ceiling = context.ceilings().flops(job.dtype == "bf16") / flops,
                           .target = Target{.value = wanted[i]->target},
                           .note = fmt::format("{} peak at {} MFLOP per token; median of {} steps{}", job.dtype, number_text(flops / 1e6),
                                               best[i].steps, rounds_text(context))});
  }
  report.notes.emplace_back(training_formula);
  return report;
}

}  // namespace

extern const Bench train;
const Bench train{
    .name = "train", .summary = "Training speed, as a share of the arithmetic peak.", .jobs = {"dense30", "mini", "nano"}, .run = run};

}  // namespace godwit::bench
