// What protection costs: the time of a step with it over the time without, measured in turns.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "bench/bench.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr double seconds_each = 6;
constexpr std::uint64_t checkpoint_every = 10;

// ---- Checks and processes ----

enum Way : std::size_t { bare, checked, supervised, twice, ways };
struct Setting {
  int workers;
  const char* verify;
};
constexpr std::array<Setting, ways> settings = {{{0, "off"}, {0, "inline"}, {1, "inline"}, {1, "dual"}}};

struct Case {
  TrainingJob job;
  double inline_most;  // times
};
const Case cases[] = {
    {{.preset = "mini", .dtype = "f32"}, 1.08},
    {{.preset = "mini", .dtype = "bf16"}, 1.08},
    {{.preset = "dense30", .dtype = "f32"}, 1.05},
    {{.preset = "dense30", .dtype = "bf16"}, 1.05},
};

Row ratio(const Context& context, const TrainingJob& job, std::string_view what, double over, double under, double most) {
  return {.job = fmt::format("{}, {}", job.name(), what),
          .value = over / under,
          .unit = "times",
          .ceiling = {},
          .target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = most},
          .note = fmt::format("{} over {} ms a step, medians{}", number_text(1e3 * over), number_text(1e3 * under), rounds_text(context))};
}

Result<void> measure(Context& context, Report& report) {
  std::vector<const Case*> wanted;
  for (const Case& each : cases) {
    if (context.wants(each.job.preset, each.job.dtype)) wanted.push_back(&each);
  }
  std::vector<std::array<double, ways>> best(wanted.size());
  for (auto& seconds : best) seconds.fill(std::numeric_limits<double>::infinity());
  for (int round = 0; round < context.options().rounds; ++round) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      for (std::size_t way = 0; way < ways; ++way) {
        TrainingJob job = wanted[i]->job;
        job.workers = settings[way].workers;
        job.verify = settings[way].verify;
        context.options().say(fmt::format("protection of {}: {} workers, verify {}", job.name(), job.workers, job.verify));
        TRY_ASSIGN(TrainingFigures figures, run_training(context, job, context.options().device, seconds_each));
        best[i][way] = std::min(best[i][way], median(std::move(figures.step_seconds)));
      }
    }
  }
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const TrainingJob& job = wanted[i]->job;
    const auto& seconds = best[i];
    const auto add = [&](std::string_view what, double over, double under, double most) {
      report.rows.push_back(ratio(context, job, what, over, under, most));
    };
    add("checked inline over unchecked", seconds[checked], seconds[bare], wanted[i]->inline_most);
    add("supervisor, keeper, worker over one process", seconds[supervised], seconds[checked], 1.03);
    // A proposal in 32 is confirmed, each as dual confirms every one: too seldom for a median, so it is a 32nd of what those cost.
    add("one proposal in 32 confirmed over none, derived from dual", seconds[supervised] + (seconds[twice] - seconds[supervised]) / 32,
        seconds[supervised], 1.035);
    add("every proposal made twice over once", seconds[twice], seconds[supervised], 2.1);
  }
  return {};
}

// ---- Checkpoints ----

// What a cycle from checkpoint to checkpoint takes: of each place in it the middle one of all cycles, so that what else happens on the
// machine now and then is not in it, and what happens in every cycle is.
double cycle_seconds(const std::vector<std::vector<double>>& runs) {
  double sum = 0;
  for (std::size_t place = 0; place < checkpoint_every; ++place) {
    std::vector<double> at;
    for (const auto& seconds : runs) {
      for (std::size_t i = place; i < seconds.size(); i += checkpoint_every) at.push_back(seconds[i]);
    }
    sum += median(std::move(at));
  }
  return sum;
}

Result<void> measure_checkpoints(Context& context, Report& report) {
  constexpr std::uint64_t cycles = 2;
  const TrainingJob plain{.preset = "dense30", .dtype = "bf16", .batch = 8, .workers = 1, .verify = "inline"};
  TrainingJob saving = plain;
  saving.checkpoint_every = checkpoint_every;
  std::vector<std::vector<double>> without, with;
  for (int round = 0; round < context.options().rounds; ++round) {
    for (const bool saved : {false, true}) {
      context.options().say(fmt::format("{}, {}", plain.name(), saved ? "a checkpoint every 10 steps" : "no checkpoints"));
      TRY_ASSIGN(TrainingFigures figures,
                 run_training(context, saved ? saving : plain, context.options().device, 0, cycles * checkpoint_every));
      figures.step_seconds.resize(cycles * checkpoint_every);
      (saved ? with : without).push_back(std::move(figures.step_seconds));
    }
  }
  const double over = cycle_seconds(with), under = cycle_seconds(without);
  Row row = ratio(context, plain, fmt::format("batch {} × {}, a checkpoint every 10 steps over none", plain.batch, plain.sequence), over,
                  under, 1.01);
  row.note = fmt::format("{} over {} s for 10 steps, the middle of {} at each place", number_text(over), number_text(under),
                         cycles * static_cast<std::uint64_t>(context.options().rounds));
  report.rows.push_back(std::move(row));
  return {};
}

Result<Report> run(Context& context) {
  Report report;
  TRY(measure(context, report));
  if (context.wants("checkpoints", "bf16")) TRY(measure_checkpoints(context, report));
  report.notes.emplace_back(
      "Batch 4 × 256 unless said; a step is timed from one commit to the next, journal on. Each ratio is of runs in turns.");
  return report;
}

}  // namespace

extern const Bench protection;
const Bench protection{.name = "protection",
                       .summary = "What checks, processes, replays and checkpoints add to the time of a step.",
                       .jobs = {"mini", "dense30", "checkpoints"},
                       .run = run,
                       .by_name_only = true};

}  // namespace godwit::bench
