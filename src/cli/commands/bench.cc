// godwit bench: how far from the machine's ceiling everything is.
#include "bench/bench.h"
#include <fmt/format.h>
#include <algorithm>
#include <iterator>

#include "base/config.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"

namespace godwit::cli {

namespace {

struct Options {
  std::string name;
  std::string job;
  int rounds = 1;
  int minutes = 0;
  std::string verify = "off";
  bool json = false;
  ComputeOptions compute;
};

std::vector<std::string> bench_names() {
  std::vector<std::string> names;
  for (const bench::Bench* each : bench::all_benches()) names.emplace_back(each->name);
  return names;
}

// The named one, or all that need not be named.
Result<std::vector<const bench::Bench*>> choose(const Options& options) {
  const auto all = bench::all_benches();
  if (options.name.empty()) {
    if (!options.job.empty()) return input_error("--job needs the name of a bench: {}", fmt::join(bench_names(), ", "));
    std::vector<const bench::Bench*> chosen;
    std::ranges::copy_if(all, std::back_inserter(chosen), [](const bench::Bench* each) { return !each->by_name_only; });
    return chosen;
  }
  const auto named = std::ranges::find(all, options.name, &bench::Bench::name);
  if (named == all.end()) return input_error("there is no bench '{}'; there are: {}", options.name, fmt::join(bench_names(), ", "));
  const auto& jobs = (*named)->jobs;
  if (!options.job.empty() && std::ranges::find(jobs, options.job) == jobs.end()) {
    return input_error("the bench {} has no job '{}'; {}", options.name, options.job,
                       jobs.empty() ? std::string("it has none to choose from") : fmt::format("it has: {}", fmt::join(jobs, ", ")));
  }
  return std::vector{*named};
}

Result<int> run_bench(const Options& options) {
  TRY_ASSIGN(const std::vector<const bench::Bench*> chosen, choose(options));
  std::string device_name;
  {
    TRY_ASSIGN(const auto device, open_device(options.compute));  // a wrong option is an error now, not in the middle
    device_name = device->name();
  }
  catch_interrupts();
  Progress progress(options.compute.quiet);
  bench::Context context({.device = device_options(options.compute),
                          .job = options.job,
                          .dtype = options.compute.dtype,
                          .weights = weight_format(options.compute),
                          .rounds = options.rounds,
                          .verify = options.verify,
                          .minutes = options.minutes,
                          .say = [&](const std::string& text) { progress.line(text); },
                          .interrupted = interrupted});
  Json document = {{"version", version}, {"device", device_name}, {"benches", Json::array()}};
  if (!options.json) TRY(print(device_name + "\n"));
  for (const bench::Bench* each : chosen) {
    TRY_ASSIGN(const bench::Report report, each->run(context));
    if (options.json) {
      document["benches"].push_back(bench::json_of(each->name, report));
    } else {
      TRY(print("\n" + bench::text_of(each->name, report)));
      TRY(flush_output());  // whoever looks on need not wait for the others
    }
  }
  if (options.json) TRY(print_json(document));
  return exit_finished;
}

}  // namespace

extern const Command bench;
const Command bench{
    .name = "bench",
    .summary = "How far from the machine's ceiling training and decoding are.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("NAME", options->name, fmt::format("One of {}; by default all of them", fmt::join(bench_names(), ", ")));
      app.add_option("--job", options->job, "Only this job of the bench; see godwit list benches");
      app.add_option("--rounds", options->rounds, "Time whole jobs so many times, in turns, and count the best")
          .type_name("N")
          .between(1, 100);
      app.add_option("--minutes", options->minutes, "storm: under faults for so long; by default what each job is stated for")
          .type_name("N")
          .between(1, 10000);
      app.add_option("--verify", options->verify, "ops: off, inline; by default results are not checked while ops are timed")
          .one_of({"off", "inline"});
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_weights(app, options->compute);
      declare_compute(app, options->compute);
      return [options] { return run_bench(*options); };
    },
};

}  // namespace godwit::cli
