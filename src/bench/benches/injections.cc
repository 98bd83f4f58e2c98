// Spoilt results on purpose: how many of the harmful ones the inline checks find, how often they doubt a right one, and what they cost.
#include <algorithm>
#include <array>
#include <map>

#include "base/clock.h"
#include "base/random.h"
#include "bench/bench.h"
#include "bench/injection_rig.h"
#include "bench/training_job.h"

namespace godwit::bench {
namespace {

constexpr std::int64_t injections_each_round = 100'000;
constexpr std::int64_t clean_each_round = 1'000'000;
constexpr std::uint64_t seed = 20260;  // of everything: a red run can be had again
constexpr double flops_most = 2e7;     // of a case that many thousand runs can afford
constexpr double seconds_each = 6;

struct Count {
  std::int64_t injected = 0;
  std::int64_t harmful = 0;
  std::int64_t harmful_found = 0;
  std::int64_t small_found = 0;
};

void add_row(Report& report, std::string_view job, const Count& count) {
  const double found = count.harmful == 0 ? 100 : 100.0 * double(count.harmful_found) / double(count.harmful);
  report.rows.push_back({.job = std::string(job),
                         .value = found,
                         .unit = "% of the harmful found",
                         .ceiling = {},
                         .target = Target{.of = Target::Of::value, .value = 100},
                         .note = fmt::format("{} injected, {} harmful, {} of them found; {} small, {} of them found", count.injected,
                                             count.harmful, count.harmful_found, count.injected - count.harmful, count.small_found)});
}

Result<void> inject(Context& context, Report& report) {
  device::DeviceOptions options = context.options().device;
  options.verify = true;
  TRY_ASSIGN(const auto device, device::Device::open(options));
  TRY_ASSIGN(const auto cases, injection_cases(*device, context.options().dtype, flops_most));
  std::array<Count, spoil_kinds> kinds;
  std::map<std::string_view, Count> ops;
  Count all;
  const std::int64_t wanted = injections_each_round * context.options().rounds;
  RandomSequence random(RandomStream(seed, Purpose::fault, 0));
  double said = monotonic_seconds();
  std::int64_t missed = 0;
  for (std::uint64_t number = 0; all.injected < wanted; ++number) {
    if (number % 256 == 0) TRY(context.check_interrupted());
    if (monotonic_seconds() > said + 5) {
      said = monotonic_seconds();
      context.options().say(fmt::format("injections: {} of {}", all.injected, wanted));
    }
    InjectionCase& one = *cases[random.below(cases.size())];
    const auto kind = static_cast<int>(number % spoil_kinds);
    if (random.below(4) == 0) TRY(one.fill(number));
    if (kind == GODWIT_SPOIL_MISSING || kind == GODWIT_SPOIL_STALE) TRY(one.clobber(number));
    const godwit_spoil spoil{.struct_size = sizeof(godwit_spoil),
                             .kind = static_cast<godwit_spoil_kind>(kind),
                             .op = nullptr,
                             .op_index = -1,
                             .rows = 0,
                             .bit = -1,
                             .rate = 1,
                             .count = 1,
                             .after_seconds = 0,
                             .seed = random.u64()};
    TRY_ASSIGN(const InjectionCase::Outcome outcome, one.run(&spoil));
    if (!outcome.injected) continue;
    const bool found = outcome.findings > 0;
    for (Count* count : {&all, &kinds[static_cast<std::size_t>(kind)], &ops[one.op()]}) {
      ++count->injected;
      count->harmful += outcome.harmful;
      count->harmful_found += outcome.harmful && found;
      count->small_found += !outcome.harmful && found;
    }
    if (outcome.harmful && !found && ++missed <= 20) {
      report.notes.push_back(fmt::format("not found: {}, {}, row {} column {}: {:g} became {:g}, row rms {:g}", one.text(),
                                         spoil_kind_name(kind), outcome.spoilt.row, outcome.spoilt.column, outcome.spoilt.before,
                                         outcome.spoilt.after, outcome.spoilt.row_rms));
    }
  }
  for (int kind = 0; kind < spoil_kinds; ++kind) add_row(report, spoil_kind_name(kind), kinds[static_cast<std::size_t>(kind)]);
  for (const auto& [op, count] : ops) add_row(report, op, count);
  add_row(report, "all", all);
  report.notes.push_back(fmt::format(
      "Harmful: one sum or more off by over {} of its row's root mean square, in fp32 before rounding. Seed {}.", harmful_part, seed));
  return {};
}

Result<void> run_clean(Context& context, Report& report) {
  device::DeviceOptions options = context.options().device;
  options.verify = true;
  TRY_ASSIGN(const auto device, device::Device::open(options));
  TRY_ASSIGN(const auto cases, injection_cases(*device, context.options().dtype, flops_most / 4));
  const std::int64_t wanted = clean_each_round * context.options().rounds;
  std::int64_t alarms = 0;
  double said = monotonic_seconds();
  for (std::uint64_t number = 0; device->checked() < wanted; ++number) {
    TRY(context.check_interrupted());
    if (monotonic_seconds() > said + 5) {
      said = monotonic_seconds();
      context.options().say(fmt::format("clean results: {} of {}", device->checked(), wanted));
    }
    InjectionCase& one = *cases[number % cases.size()];
    TRY(one.fill(seed + number));
    for (int repeat = 0; repeat < 64; ++repeat) {
      TRY_ASSIGN(const InjectionCase::Outcome outcome, one.run(nullptr));
      if (outcome.findings == 0) continue;
      if (alarms < 20) {
        report.notes.push_back(fmt::format("false alarm: {}, inputs {}, row {}: {:g} against {:g}", one.text(), seed + number,
                                           outcome.first.row, outcome.first.difference, outcome.first.bound));
      }
      alarms += outcome.findings;
    }
  }
  report.rows.push_back({.job = "false alarms",
                         .value = static_cast<double>(alarms),
                         .unit = "findings",
                         .ceiling = {},
                         .target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 0},
                         .note = fmt::format("over {} clean checked results", device->checked())});
  return {};
}

// What a training step of the preset mini (batch 4 × 256) runs, and how often.
struct Part {
  std::string_view op;
  std::vector<program::Shape> shapes;  // of the inputs that are no integers
  int runs;
  program::Attributes attributes = {};
};
std::vector<Part> parts_of_mini() {
  std::vector<Part> parts;
  const auto linear = [&](std::int64_t out, std::int64_t in, int runs) {
    parts.push_back({"linear", {{1024, in}, {out, in}}, runs});
    parts.push_back({"linear_backward_input", {{1024, out}, {out, in}}, runs});
    parts.push_back({"linear_backward_weight", {{1024, out}, {1024, in}}, runs});
  };
  linear(192, 256, 10);
  linear(256, 192, 5);
  linear(2048, 256, 1);
  linear(256, 256, 6);
  linear(512, 128, 6);
  linear(768, 256, 2);
  linear(256, 768, 1);
  linear(384, 96, 6);
  linear(144, 256, 6);
  linear(96, 256, 6);
  const auto grouped = [&](std::int64_t out, std::int64_t in, int runs) {
    parts.push_back({"grouped_linear", {{4096, in}, {16, out, in}}, runs});
    parts.push_back({"grouped_linear_backward_input", {{4096, out}, {16, out, in}}, runs});
    parts.push_back({"grouped_linear_backward_weight", {{4096, out}, {4096, in}}, runs, {{"experts", std::int64_t{16}}}});
  };
  grouped(192, 256, 10);
  grouped(256, 192, 5);
  const program::Attributes heads = {{"heads", std::int64_t{4}}, {"nope", std::int64_t{64}}, {"value", std::int64_t{64}}, {"scale", 0.1}};
  const program::Shape q{1024, 4 * 96}, kv{1024, 4 * 128}, k_pe{1024, 32}, o{1024, 4 * 64}, ml{1024, 4};
  parts.push_back({"attention", {q, kv, k_pe}, 6, heads});
  parts.push_back({"attention_backward", {q, kv, k_pe, o, ml, ml, o}, 6, heads});
  return parts;
}
program::Example example_of(const Part& part, program::Dtype dtype) {
  const program::Op& op = *program::find_op(part.op);
  program::Example example{.inputs = {}, .attributes = part.attributes};
  for (const program::Shape& shape : part.shapes) {
    const bool result = example.inputs.size() >= 3;  // of attention itself: f32 whatever the products' operands are
    example.inputs.push_back({result ? program::Dtype::f32 : dtype, shape});
  }
  const bool grouped = part.op.starts_with("grouped");
  if (op.inputs.size() > part.shapes.size()) example.inputs.push_back({program::Dtype::i32, {grouped ? 16 * 4 + 1 : 4 + 1}});
  return example;
}

// Every part with and without checks, run by run in turns, the least of each: what else runs on the machine only takes away.
Result<void> time_parts(Context& context, Report& report, const std::string& dtype) {
  std::array<std::unique_ptr<device::Device>, 2> devices;
  for (const std::size_t on : {0, 1}) {
    device::DeviceOptions options = context.options().device;
    options.verify = on == 1;
    TRY_ASSIGN(devices[on], device::Device::open(options));
  }
  std::map<std::string_view, std::array<double, 2>> ops;
  std::array<double, 2> all{};
  for (const Part& part : parts_of_mini()) {
    TRY(context.check_interrupted());
    const program::Example example = example_of(part, dtype == "bf16" ? program::Dtype::bf16 : program::Dtype::f32);
    const program::Op& op = *program::find_op(part.op);
    const bool weighted = op.inputs[1] == "w";
    std::array<std::unique_ptr<InjectionCase>, 2> cases;
    for (const std::size_t on : {0, 1}) {
      TRY_ASSIGN(cases[on], InjectionCase::prepare(*devices[on], op, example,
                                                   weighted ? InjectionCase::Weight::state : InjectionCase::Weight::input, false));
    }
    std::array<double, 2> least = {1e9, 1e9};
    std::array<double, 2> least_packing = {1e9, 1e9};
    for (int round = 0; round < 60 * context.options().rounds; ++round) {
      for (const std::size_t on : {0, 1}) {
        TRY_ASSIGN(const double seconds, cases[on]->time());
        least[on] = std::min(least[on], seconds);
        if (!weighted || round % 4 != 0) continue;
        TRY_ASSIGN(const double packing, cases[on]->time_refresh());
        least_packing[on] = std::min(least_packing[on], packing);
      }
    }
    for (const std::size_t on : {0, 1}) {
      ops[part.op][on] += 1e3 * least[on] * part.runs;
      all[on] += 1e3 * least[on] * part.runs;
      if (weighted) ops["packing"][on] += 1e3 * least_packing[on] * part.runs;
      if (weighted) all[on] += 1e3 * least_packing[on] * part.runs;
    }
  }
  const auto add = [&](std::string_view op, const std::array<double, 2>& ms) {
    report.rows.push_back({.job = fmt::format("mini {}, {}", dtype, op),
                           .value = 100 * (ms[1] / ms[0] - 1),
                           .unit = "% more",
                           .ceiling = {},
                           .target = {},
                           .note = fmt::format("{:.3f} ms a step with checks, {:.3f} without", ms[1], ms[0])});
  };
  for (const auto& [op, ms] : ops) add(op, ms);
  add("all of these", all);
  return {};
}

// Time in ops of a step, by op, in milliseconds; with and without checks in turns, the least of the rounds.
Result<void> time_checks(Context& context, Report& report, const std::string& dtype) {
  const int rounds = std::max(3, context.options().rounds);
  std::map<std::string, std::array<double, 2>> ops;
  std::array<double, 2> steps{};
  for (int round = 0; round < rounds; ++round) {
    // Who goes first changes: a machine with bursts gives more to the first.
    for (const std::size_t on : {std::size_t(round % 2 == 0), std::size_t(round % 2 != 0)}) {
      device::DeviceOptions device = context.options().device;
      device.profile = true;
      device.verify = on == 1;
      TRY_ASSIGN(const TrainingFigures figures, run_training(context, {.preset = "mini", .dtype = dtype}, device, seconds_each));
      CHECK(figures.ops.has_value(), "a profiled run has no table of ops");
      std::map<std::string, double> sums;
      for (const OpRow& row : figures.ops->rows) sums[row.op] += row.ms;
      sums["outside ops"] = figures.ops->step_ms - figures.ops->ops_ms();
      const auto least = [&](double& known, double now) { known = known == 0 ? now : std::min(known, now); };
      for (const auto& [op, ms] : sums) least(ops[op][on], ms);
      least(steps[on], figures.ops->step_ms);
    }
  }
  const auto add = [&](const std::string& job, const std::array<double, 2>& ms) {
    report.rows.push_back({.job = fmt::format("mini {}, {}", dtype, job),
                           .value = 100 * (ms[1] / ms[0] - 1),
                           .unit = "% more",
                           .ceiling = {},
                           .target = {},
                           .note = fmt::format("{:.3f} ms with checks, {:.3f} without", ms[1], ms[0])});
  };
  std::array<double, 2> sum{};
  for (const auto& [op, ms] : ops) {
    for (const std::size_t on : {0, 1}) sum[on] += ms[on];
    if (ms[0] >= 0.01 * steps[0]) add(op, ms);
  }
  add("all ops by their least", sum);
  add("the step", steps);
  report.rows.back().target = Target{.of = Target::Of::value, .sense = Target::Sense::at_most, .value = 5};
  report.notes.push_back(fmt::format("Cost: least of {} rounds of {} s with and without checks, in turns.", rounds, seconds_each));
  return {};
}

Result<Report> run(Context& context) {
  Report report;
  if (context.wants("found")) TRY(inject(context, report));
  if (context.wants("alarms")) TRY(run_clean(context, report));
  for (const char* dtype : {"f32", "bf16"}) {
    if (context.wants("cost", dtype)) TRY(time_parts(context, report, dtype));
    if (context.wants("step", dtype)) TRY(time_checks(context, report, dtype));
  }
  return report;
}

}  // namespace

extern const Bench injections;
const Bench injections{.name = "injections",
                       .summary = "Whether inline checks find what is spoilt on purpose and doubt nothing else, and what they cost.",
                       .jobs = {"found", "alarms", "cost", "step"},
                       .run = run,
                       .by_name_only = true};

}  // namespace godwit::bench
