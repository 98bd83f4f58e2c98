#include "bench/training_job.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "base/random.h"
#include "bench/op_table.h"
#include "base/temporary_directory.h"
#include "model/family.h"
#include "train/run.h"

namespace godwit::bench {

namespace {

constexpr std::int64_t rows_written = 64;
constexpr std::uint64_t warm_up_steps = 3;             // caches, page faults, the clock of the cores
constexpr std::int64_t steps_without_end = 1'000'000;  // a run ends when its time is over

}  // namespace

model::DeepseekV3Config preset_config(std::string_view preset) {
  const Json* json = model::find_family("deepseek_v3", "bench").value()->preset(preset);
  CHECK(json != nullptr, "deepseek_v3 has no preset {}", preset);
  return model::parse_deepseek_v3(*json, preset).value();
}

double median(std::vector<double> values) {
  CHECK(!values.empty(), "there is no middle of nothing");
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

Result<std::filesystem::path> write_job(const std::filesystem::path& directory, const TrainingJob& job, std::int64_t steps) {
  const std::int64_t vocabulary = preset_config(job.preset).vocab_size;
  const RandomStream random(1, Purpose::test, 0);
  Json rows = Json::array();
  for (std::int64_t r = 0; r < rows_written; ++r) {
    Json row = Json::array();
    for (std::int64_t t = 0; t <= job.sequence; ++t) {
      row.push_back(random.words(static_cast<std::uint64_t>(r * (job.sequence + 1) + t))[0] % vocabulary);
    }
    rows.push_back(std::move(row));
  }
  const std::filesystem::path data = directory / "rows.json";
  TRY(write_file_durably(data, write_json(rows)));
  const std::filesystem::path config = directory / "config.toml";
  TRY(write_file_durably(
      config,
      fmt::format("[model]\npreset = \"{}\"\n\n[data]\nkind = \"ids\"\npath = {}\nbatch = {}\n\n[optimizer]\nlr = 1e-4\n\n"
                  "[run]\nsteps = {}\ndtype = \"{}\"\nevaluate_every = 0\ncheckpoint_every = {}\n\n"
                  "[guard]\nverify = \"{}\"\nreplay = {}\n",
                  job.preset, write_json(data.string()), job.batch, steps, job.dtype, job.checkpoint_every, job.verify, job.replay)));
  return config;
}

Result<TrainingFigures> run_training(Context& context, const TrainingJob& job, const device::DeviceOptions& device, double seconds,
                                     std::uint64_t steps_least) {
  CHECK(!device.profile || job.workers == 0, "the ops of {} run in other processes", job.name());
  const Ceilings* ceilings = device.profile ? &context.ceilings() : nullptr;
  TRY_ASSIGN(const TemporaryDirectory directory, TemporaryDirectory::create());
  train::RunOptions run;
  TRY_ASSIGN(run.config, write_job(directory.path(), job, steps_without_end));
  run.directory = directory / "run";
  run.device = device;
  run.workers = job.workers;

  TrainingFigures figures;
  std::vector<double> speeds;  // of every step
  double committed_at = 0;
  double all_seconds = 0;
  bool enough = false;
  double end = 0;
  run.progress = [&](const train::Progress& progress) {
    const double now = monotonic_seconds();
    if (speeds.size() >= warm_up_steps) figures.step_seconds.push_back(now - committed_at);
    committed_at = now;
    speeds.push_back(progress.tokens_per_s);
    if (speeds.size() > warm_up_steps) all_seconds += static_cast<double>(job.tokens()) / progress.tokens_per_s;
    if (progress.step == warm_up_steps) end = now + seconds;
    enough = progress.step >= warm_up_steps + steps_least && now >= end;
  };
  run.interrupted = [&] { return enough || context.options().interrupted(); };
  std::vector<std::vector<device::OpTime>> warm;  // as the warm-up ended: it touches memory for the first time
  run.profiled = [&](std::span<const device::Executable* const> executables) -> Result<void> {
    std::vector<TimedProgram> programs;
    for (const device::Executable* executable : executables) {
      TRY_ASSIGN(std::vector<device::OpTime> times, executable->op_times());
      programs.push_back({&executable->program(), std::move(times)});
    }
    if (speeds.size() == warm_up_steps) {
      for (const TimedProgram& program : programs) warm.push_back(program.times);
    }
    if (speeds.size() <= warm_up_steps) return {};
    for (std::size_t p = 0; p < programs.size(); ++p) {
      for (std::size_t i = 0; i < programs[p].times.size(); ++i) {
        programs[p].times[i].runs -= warm[p][i].runs;
        programs[p].times[i].nanoseconds -= warm[p][i].nanoseconds;
      }
    }
    const auto steps = static_cast<double>(speeds.size() - warm_up_steps);
    figures.ops = group_ops(job.name(), programs, steps, all_seconds / steps, *ceilings);
    return {};
  };
  context.options().say(fmt::format("train {}, {} threads", job.name(), device.threads));
  TRY(train::train(run));
  TRY(context.check_interrupted());
  speeds.erase(speeds.begin(), speeds.begin() + static_cast<std::ptrdiff_t>(warm_up_steps));
  figures.steps = static_cast<std::int64_t>(speeds.size());
  figures.tokens_per_s = median(std::move(speeds));
  return figures;
}

}  // namespace godwit::bench
