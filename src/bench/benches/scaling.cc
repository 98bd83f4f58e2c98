// What a second thread and a longer sequence cost.
#include <algorithm>
#include <span>
#include <vector>

#include "bench/bench.h"
#include "bench/flops.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr double seconds_each = 8;

// The best of the rounds, in which the jobs take turns.
struct Timed {
  TrainingJob job;
  device::DeviceOptions device;
  double tokens_per_s = 0;
};
Result<void> time_in_turns(Context& context, std::span<Timed> jobs) {
  for (int round = 0; round < context.options().rounds; ++round) {
    for (Timed& timed : jobs) {
      TRY_ASSIGN(const TrainingFigures figures, run_training(context, timed.job, timed.device, seconds_each));
      timed.tokens_per_s = std::max(timed.tokens_per_s, figures.tokens_per_s);
    }
  }
  return {};
}

Result<Row> threads_row(Context& context) {
  std::vector<Timed> runs;
  for (const int threads : {1, 2}) {
    device::DeviceOptions device = context.options().device;
    device.threads = threads;
    runs.push_back({.job = {.preset = "dense30", .dtype = "bf16"}, .device = device});
  }
  TRY(time_in_turns(context, runs));
  const double speeds[2] = {runs[0].tokens_per_s, runs[1].tokens_per_s};
  return Row{.job = "dense30 bf16, 2 threads over 1",
             .value = speeds[1] / speeds[0],
             .unit = "times",
             .ceiling = 2,
             .target = Target{.of = Target::Of::value, .value = 1.9},
             .note = fmt::format("{} over {} tokens/s{}", number_text(speeds[1]), number_text(speeds[0]), rounds_text(context))};
}

Result<Row> sequence_row(Context& context) {
  constexpr std::int64_t tokens = 2048;  // a step, both times: the optimizer weighs the same
  std::vector<Timed> runs;
  double cost[2], flops[2];
  for (const std::int64_t sequence : {256, 2048}) {
    runs.push_back({.job = {.preset = "dense30", .dtype = "bf16", .batch = tokens / sequence, .sequence = sequence},
                    .device = context.options().device});
  }
  TRY(time_in_turns(context, runs));
  for (std::size_t i = 0; i < 2; ++i) {
    cost[i] = 1 / runs[i].tokens_per_s;
    flops[i] = training_flops(preset_config(runs[i].job.preset), runs[i].job.sequence);
  }
  const double time = cost[1] / cost[0], arithmetic = flops[1] / flops[0];
  return Row{.job = "dense30 bf16, a token at 2048 over one at 256",
             .value = time / arithmetic,
             .unit = "times",
             .ceiling = {},
             .target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 1.15},
             .note = fmt::format("time {} times, FLOPs {} times; {} tokens a step{}", number_text(time), number_text(arithmetic), tokens,
                                 rounds_text(context))};
}

Result<Report> run(Context& context) {
  Report report;
  if (context.wants("threads", "bf16")) {
    TRY_ASSIGN(Row row, threads_row(context));
    report.rows.push_back(std::move(row));
  }
  if (context.wants("sequence", "bf16")) {
    TRY_ASSIGN(Row row, sequence_row(context));
    report.rows.push_back(std::move(row));
  }
  return report;
}

}  // namespace

extern const Bench scaling;
const Bench scaling{.name = "scaling",
                    .summary = "What a second thread gains and what a longer sequence costs.",
                    .jobs = {"threads", "sequence"},
                    .run = run};

}  // namespace godwit::bench
