// Where the time of a step goes: every op and shape of a training step, a prompt, a decode step and a roll-out, against what the machine
// could do of it.
#include "bench/bench.h"
#include "bench/decode_job.h"
#include "bench/roll_out_job.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr double seconds_each = 6;

Result<Report> run(Context& context) {
  Report report;
  device::DeviceOptions device = context.options().device;
  device.profile = true;
  device.verify = context.options().verify != "off";
  const std::string dtype = context.options().dtype.empty() ? "bf16" : context.options().dtype;
  for (const char* preset : {"mini", "dense30"}) {
    if (!context.wants(preset)) continue;
    TRY_ASSIGN(TrainingFigures figures,
               run_training(context, {.preset = preset, .dtype = dtype, .verify = context.options().verify}, device, seconds_each));
    CHECK(figures.ops.has_value(), "a profiled run has no table of ops");
    report.ops.push_back(std::move(*figures.ops));
  }
  if (context.wants("ds326")) {
    TRY_ASSIGN(const auto model,
               DecodeModel::open("ds326", device, dtype == "bf16" ? program::Dtype::bf16 : program::Dtype::f32, context.options().weights));
    const auto add = [&](Result<DecodeModel::Figures> measured) -> Result<void> {
      TRY_ASSIGN(DecodeModel::Figures figures, std::move(measured));
      report.ops.push_back(std::move(*figures.ops));
      return {};
    };
    TRY(add(model->prefill(context, 512, seconds_each)));
    TRY(add(model->decode(context, 1, 16, seconds_each)));
    TRY(add(model->decode(context, 32, 16, seconds_each)));
  }
  if (context.wants("roll_out")) {
    TRY_ASSIGN(const auto model, RollOutModel::open(device, 1));
    for (const std::int64_t group : {1, 8}) {
      TRY_ASSIGN(RollOutModel::Figures figures, model->answer(context, group, seconds_each));
      report.ops.push_back(std::move(*figures.ops));
    }
  }
  report.notes.emplace_back(
      "Runs and ms are per step: a training step of batch 4 × 256, a prompt, a decode step, a roll-out. Outside ops: digest, journal, "
      "data, calls.");
  report.notes.emplace_back(
      "Of ceiling: max(FLOPs / peak, bytes / read bandwidth), by Op::cost, over the time taken. It is above 100 % where data came from");
  report.notes.emplace_back("a cache, and in decode steps, where Op::cost counts every expert and the whole cache of latents.");
  return report;
}

}  // namespace

extern const Bench ops;
const Bench ops{
    .name = "ops", .summary = "Where a step's time goes, by op and shape.", .jobs = {"mini", "dense30", "ds326", "roll_out"}, .run = run};

}  // namespace godwit::bench
