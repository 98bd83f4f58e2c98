// Many short answers of a very small model: against the arithmetic peak.
#include <algorithm>
#include <limits>
#include <utility>

#include "bench/bench.h"
#include "bench/roll_out_job.h"

namespace godwit::bench {

extern const Bench roll_out;

namespace {

constexpr double seconds_each = 5;

struct Job {
  std::string_view name;
  std::int64_t group;
};

Result<Report> run(Context& context) {
  Report report;
  // A device for each thread, as in a run with a worker for each core: ops of so few rows gain little from a second thread.
  device::DeviceOptions one = context.options().device;
  const int devices = std::exchange(one.threads, 1);
  TRY_ASSIGN(const auto model, RollOutModel::open(one, devices));
  for (const Job& job : {Job{"alone", 1}, Job{"groups", 8}}) {
    if (!context.wants(job.name, "f32")) continue;
    RollOutModel::Figures best{.seconds = std::numeric_limits<double>::infinity(), .times = 0, .ops = {}};
    for (int round = 0; round < context.options().rounds; ++round) {
      TRY_ASSIGN(RollOutModel::Figures figures, model->answer(context, job.group, seconds_each));
      if (figures.seconds < best.seconds) best = std::move(figures);
    }
    constexpr std::int64_t streams = RollOutModel::streams;
    const double flops = model->flops_per_token(job.group);
    report.rows.push_back({.job = job.group == 1 ? fmt::format("{} prompts", streams)
                                                 : fmt::format("{} prompts, {} answers each", streams / job.group, job.group),
                           .value = static_cast<double>(streams * RollOutModel::new_tokens) / best.seconds,
                           .unit = "tokens/s",
                           .ceiling = context.ceilings().flops(false) / flops,
                           .target = Target{.of = Target::Of::value, .value = 200'000},
                           .note = fmt::format("f32 peak at {} kFLOP per new token; {} of one thread; median of {} times{}",
                                               number_text(flops / 1e3), devices == 1 ? "one device" : fmt::format("{} devices", devices),
                                               best.times, rounds_text(context))});
  }
  return report;
}

}  // namespace

const Bench roll_out{.name = "roll_out",
                     .summary = "512 answers of 20 tokens at temperature 1 by the parity example's model.",
                     .jobs = {"alone", "groups"},
                     .run = run};

}  // namespace godwit::bench
