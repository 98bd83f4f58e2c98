// A run under random faults of all kinds, from inside by a story and from outside by signals: how often it is struck, how soon it goes on,
// and whether it ends with the bits of the run that nothing happened to.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "bench/bench.h"
#include "bench/storm_agent.h"
#include "base/temporary_directory.h"
#include "bench/training_job.h"
#include "guard/chaos.h"
#include "store/journal.h"
#include "store/run_directory.h"

namespace godwit::bench {
namespace {

constexpr int workers = 3;
constexpr std::int64_t steps_without_end = 1'000'000;
constexpr std::uint64_t steps_after = 20;  // without faults
constexpr double patience_s = 120;         // for a step to be committed
constexpr int exit_stopped = 75;
constexpr int starts_without_progress_most = 20;

struct Case {
  std::string_view name;
  TrainingJob job;
  double minutes;
  double steps_between_signals;
  bool story;  // faults from inside, and signals that are no kills
  std::optional<double> goodput_least;
};
const Case cases[] = {
    // Steps of some 50 ms: what a recovery takes is not hidden in them.
    {"storm", {.preset = "nano", .dtype = "f32", .batch = 32, .sequence = 32, .workers = workers, .verify = "inline"}, 2, 40, true, {}},
    // Steps of some 1 s.
    {"kills",
     {.preset = "mini", .dtype = "bf16", .batch = 16, .sequence = 256, .workers = workers, .verify = "inline"},
     6,
     100,
     false,
     0.95},
};

// ---- The story ----

struct Chance {
  const char* where;  // "": where such a fault is said to strike
  double rate;        // faults a step
  const char* what;
};
// Workers pass a phase once for each part of the step's samples.
constexpr double parts_of_a_step = 8;
constexpr Chance of_workers[] = {
    {"in forward", 0.004, "kill a worker"},
    {"in backward", 0.004, "crash a worker"},
    {"in forward", 0.0015, "abort a worker"},
    {"in sending", 0.0015, "let a worker leave"},
    {"in backward", 0.001, "exhaust the memory of a worker"},
    {"in forward", 0.0005, "stop a worker for 3 seconds"},
    {"in backward", 0.0003, "livelock a worker"},
    {"in forward", 0.001, "let a worker sleep for 0.5 seconds"},
    {"in forward", 0.004, "flip a high bit in 1 matmul accumulator on a worker"},
    {"in backward", 0.003, "flip a high bit in 3 linear_backward_weight accumulators on a worker"},
    {"in forward", 0.002, "zero a tile in 1 linear accumulator on a worker"},
    {"in sending", 0.003, "flip a bit in the gradient of a worker"},
    {"in sending", 0.002, "swap two chunks in the gradient of a worker"},
    {"in sending", 0.002, "cut the gradient of a worker"},
    {"", 0.002, "lose the answer of a worker"},
    {"", 0.003, "flip a bit in the answer of a worker"},
    {"", 0.002, "repeat the answer of a worker"},
    {"", 0.001, "delay the answer of a worker by 0.3 seconds"},
    {"", 0.001, "reset the link of a worker"},
};
constexpr Chance of_others[] = {
    {"in joining", 0.002, "kill the keeper"},
    {"in applying", 0.002, "crash the keeper"},
    {"in digesting", 0.0005, "stop the keeper for 3 seconds"},
    {"in joining", 0.003, "flip a bit in the state"},
    {"in committing", 0.001, "kill the supervisor"},
    {"in committed", 0.001, "crash the supervisor"},
    {"in committing", 0.0005, "kill everything"},
    {"in committed", 0.0005, "terminate the run"},
    {"in writing", 0.02, "kill the writer"},
    {"in committed", 0.001, "flip a bit in the newest checkpoint"},
    {"in committed", 0.0005, "truncate the newest checkpoint"},
    {"in committing", 0.0005, "disk full for 0.3 seconds"},
    {"in committing", 0.0005, "disk error for 5 calls"},
    {"in committing", 0.0005, "read-only disk for 0.3 seconds"},
    {"in committing", 0.0005, "disk sync error for 3 calls"},
    {"in committing", 0.0005, "short disk writes for 20 calls"},
    {"in committing", 0.0005, "disk at 20 MB/s for 1 second"},
};

std::string story_text() {
  std::string text = fmt::format("train nano {} steps on {} workers\n", steps_without_end, workers);
  const auto add = [&](const Chance& chance, double passes) {
    text += fmt::format("every step{}{} with probability {:.7f}: {}\n", *chance.where == '\0' ? "" : " ", chance.where,
                        chance.rate / passes, chance.what);
  };
  for (const Chance& chance : of_workers) add(chance, parts_of_a_step);
  for (const Chance& chance : of_others) add(chance, 1);
  // A batch poisoned as often as its step is made would have to be left out; this one is not.
  text += fmt::format("every step in forward with probability {:.7f}, up to 1000 times: poison the batch\n", 0.001 / parts_of_a_step);
  return text + "expect finished\n";
}

// ---- What is left behind ----

std::optional<store::JournalEntry> last_entry(const store::RunDirectory& run) {
  const auto content = store::Journal::read(run.journal());
  if (!content.ok() || content->entries.empty()) return std::nullopt;
  return content->entries.back();
}

template <typename Take>
void each_line(const std::filesystem::path& path, const Take& take) {
  const auto text = read_file(path, std::uint64_t{1} << 32);
  if (!text.ok()) return;
  for (std::size_t begin = 0; begin < text->size();) {
    const std::size_t end = std::min(text->find('\n', begin), text->size());
    if (const auto line = parse_json(std::string_view(*text).substr(begin, end - begin), path.string()); line.ok() && line->is_object())
      take(*line);
    begin = end + 1;
  }
}

std::map<std::string, std::uint64_t> struck_inside(const store::RunDirectory& run) {
  std::map<std::string, std::uint64_t> struck;
  each_line(run.faults(), [&](const Json& line) {
    if (!line.contains("times")) return;
    const auto text = line.value<std::string>("text", "");
    const std::size_t colon = text.rfind(": ");
    ++struck[colon == std::string::npos ? text : text.substr(colon + 2)];
  });
  return struck;
}

// The middle step, from its begin to its commit.
std::optional<double> middle_step_seconds(const store::RunDirectory& run) {
  std::vector<double> seconds;
  each_line(run.metrics(), [&](const Json& line) {
    const double speed = line.value("tokens_per_s", 0.0), tokens = line.value("tokens", 0.0);
    if (speed > 0 && tokens > 0) seconds.push_back(tokens / speed);
  });
  if (seconds.empty()) return std::nullopt;
  return median(std::move(seconds));
}

// ---- The run ----

class Storm {
 public:
  Storm(Context& context, const Case& of, TemporaryDirectory& directory, guard::Launcher launch)
      : context_(context),
        case_(of),
        directory_(directory),
        launch_(std::move(launch)),
        run_{directory / "run"},
        agent_({.run = run_, .steps_between = of.steps_between_signals, .only_kills = !of.story}) {}

  Result<void> execute(double minutes);
  void report(Report& report) const;
  [[nodiscard]] bool digest_equal() const { return digest_equal_; }

 private:
  Result<void> disturb(guard::Start& start, double minutes);
  // Until it is finished, without faults.
  Result<Digest> finish(guard::Start start, std::uint64_t steps);
  Result<int> launch(guard::Start& start, const std::function<bool()>& go_on);
  void count(int status);

  Context& context_;
  const Case& case_;
  TemporaryDirectory& directory_;
  guard::Launcher launch_;
  store::RunDirectory run_;
  StormAgent agent_;
  double seconds_ = 0;  // under faults
  std::uint64_t steps_ = 0, restarts_ = 0, stops_ = 0, failures_ = 0;
  std::string failure_;
  std::optional<double> middle_s_;
  bool digest_equal_ = false;
};

Result<int> Storm::launch(guard::Start& start, const std::function<bool()>& go_on) {
  bool stuck = false;
  double began = monotonic_seconds();
  start.go_on = [&] {
    agent_.look();
    // The agent looks at the run under faults; the undisturbed one takes its time.
    stuck = start.run == run_.root && monotonic_seconds() - std::max(began, agent_.committed_at()) > patience_s;
    return !stuck && !context_.options().interrupted() && go_on();
  };
  TRY_ASSIGN(const int status, launch_(start));
  agent_.supervisor_ended();
  TRY(context_.check_interrupted());
  if (stuck) {
    return world_error("no step was committed in {} s after step {}; the run is kept in {}", patience_s, agent_.step(),
                       std::move(directory_).keep().string());
  }
  return status;
}

void Storm::count(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == exit_stopped) {
    ++stops_;
  } else if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    ++failures_;
    const auto said = read_file(directory_ / "output.txt");
    const std::size_t at = said.ok() ? said->rfind("godwit: ") : std::string::npos;
    failure_ = at == std::string::npos ? "" : said->substr(at, said->find('\n', at) - at);
  }
  ++restarts_;
}

Result<void> Storm::disturb(guard::Start& start, double minutes) {
  const double begin = monotonic_seconds(), end = begin + 60 * minutes;
  std::uint64_t best = 0;
  int fruitless = 0;
  double said_at = 0;
  while (monotonic_seconds() < end) {
    TRY_ASSIGN(const int status, launch(start, [&] {
                 const double now = monotonic_seconds();
                 if (now - said_at > 10) {
                   said_at = now;
                   context_.options().say(fmt::format("{}: {:.0f} s left, step {}, {} recoveries, {} restarts", case_.name, end - now,
                                                      agent_.step(), agent_.recoveries().size(), restarts_));
                 }
                 return now < end;
               }));
    if (monotonic_seconds() >= end) break;  // that was the end of the storm
    count(status);
    fruitless = agent_.step() > best ? 0 : fruitless + 1;
    best = std::max(best, agent_.step());
    if (fruitless >= starts_without_progress_most) {
      return world_error("{} starts without a new step after step {}; the run is kept in {}", fruitless, best,
                         std::move(directory_).keep().string());
    }
  }
  seconds_ = monotonic_seconds() - begin;
  agent_.rest();
  return {};
}

Result<Digest> Storm::finish(guard::Start start, std::uint64_t steps) {
  start.faults.clear();
  start.sets.push_back(fmt::format("run.steps={}", steps));
  while (true) {
    TRY_ASSIGN(const int status, launch(start, [] { return true; }));
    const auto last = last_entry({start.run});
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && last && last->step == steps) return last->digest;
    const auto said = read_file(start.output);
    return world_error("without faults the run ended with status {} at step {} of {}: {}; it is kept in {}", status, last ? last->step : 0,
                       steps, said.ok() ? said->substr(said->size() - std::min<std::size_t>(said->size(), 300)) : "",
                       std::move(directory_).keep().string());
  }
}

Result<void> Storm::execute(double minutes) {
  guard::Start start;
  TRY_ASSIGN(start.config, write_job(directory_.path(), case_.job, steps_without_end));
  start.run = run_.root;
  start.output = directory_ / "output.txt";
  start.workers = workers;
  start.sets = {fmt::format("optimizer.schedule_steps={}", steps_without_end), "run.checkpoint_every=10", "run.keep_last=5"};
  if (case_.story) {
    start.sets.emplace_back("run.evaluate_every=50");
    start.sets.emplace_back("guard.replay=32");
    start.faults = directory_ / "storm.story";
    TRY(write_file_durably(start.faults, story_text()));
    TRY(guard::load_story(start.faults));
  }
  TRY(disturb(start, minutes));
  const auto last = last_entry(run_);
  if (!last || last->step == 0) return world_error("no step was committed in {} minutes", minutes);
  steps_ = last->step;
  middle_s_ = middle_step_seconds(run_);
  context_.options().say(fmt::format("{}: to its end without faults", case_.name));
  TRY_ASSIGN(const Digest digest, finish(start, steps_ + steps_after));
  context_.options().say(fmt::format("{}: the undisturbed run, {} steps", case_.name, steps_ + steps_after));
  guard::Start calm = start;
  calm.run = directory_ / "undisturbed";
  calm.output = directory_ / "undisturbed.txt";
  calm.workers = 0;
  TRY_ASSIGN(const Digest wanted, finish(std::move(calm), steps_ + steps_after));
  digest_equal_ = digest == wanted;
  return {};
}

void Storm::report(Report& report) const {
  using Sense = Target::Sense;
  const auto add = [&](std::string_view what, double value, const char* unit, std::optional<Target> target, std::string note) {
    report.rows.push_back({fmt::format("{}, {}", case_.name, what), value, unit, std::nullopt, target, std::move(note)});
  };
  const auto at_most = [](double value) { return Target{.of = Target::Of::value, .sense = Sense::at_most, .value = value}; };
  const auto at_least = [](double value) { return Target{.of = Target::Of::value, .sense = Sense::at_least, .value = value}; };

  std::map<std::string, std::uint64_t> struck = struck_inside(run_);
  for (const auto& [what, times] : agent_.struck()) struck[what] += times;
  const auto all = std::accumulate(struck.begin(), struck.end(), std::uint64_t{0},
                                   [](std::uint64_t sum, const auto& each) { return sum + each.second; });
  add("faults struck", static_cast<double>(all), "", {}, fmt::format("in {} steps and {:.0f} s", steps_, seconds_));
  if (all > 0) {
    add("steps from fault to fault", static_cast<double>(steps_) / static_cast<double>(all), "steps",
        case_.story ? std::optional(at_most(20)) : std::nullopt, "mean");
  }
  std::vector<double> deaths, hangs, restarts;
  for (const Recovery& each : agent_.recoveries())
    (each.fault == "supervisor" ? restarts : each.hang() ? hangs : deaths).push_back(each.seconds);
  const auto recovery = [&](std::string_view what, const std::vector<double>& seconds, std::optional<Target> middle, double worst) {
    if (seconds.empty()) return;
    const std::string note =
        fmt::format("from when it was noticed, or a process fell silent, to the next commit, {} of them", seconds.size());
    add(fmt::format("recovery {}, median", what), median(seconds), "s", middle, note);
    add(fmt::format("recovery {}, worst", what), *std::ranges::max_element(seconds), "s", at_most(worst), "");
  };
  recovery("after faults of processes, numbers and links", deaths, case_.story ? std::optional(at_most(0.3)) : std::nullopt, 2);
  recovery("after hangs", hangs, {}, 5);
  recovery("after a new start of the supervisor", restarts, {}, 2);
  add("restarts of the supervisor", static_cast<double>(restarts_), "", {}, fmt::format("{} of them stopped on request", stops_));
  add("ends with an error", static_cast<double>(failures_), "", at_most(0), failure_);
  if (middle_s_) {
    add("goodput", static_cast<double>(steps_) * *middle_s_ / seconds_, "",
        case_.goodput_least ? std::optional(at_least(*case_.goodput_least)) : std::nullopt,
        fmt::format("committed steps, at the middle step's {} ms, over the time", number_text(1e3 * *middle_s_)));
  }
  add("digest equal to the undisturbed run", digest_equal_ ? 1 : 0, "", at_least(1),
      fmt::format("after {} steps, the last {} without faults", steps_ + steps_after, steps_after));
  std::vector<std::string> kinds;
  for (const auto& [what, times] : struck) kinds.push_back(fmt::format("{} × {}", times, what));
  report.notes.push_back(fmt::format("{}: {}", case_.name, fmt::join(kinds, "; ")));
}

Result<Report> run(Context& context) {
  Report report;
  std::error_code error;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) return world_error("/proc/self/exe: {}", error.message());
  const device::DeviceOptions& device = context.options().device;
  std::vector<std::string> arguments = {"--quiet", "--threads", std::to_string(device.threads)};
  if (!device.isa.empty()) arguments.insert(arguments.end(), {"--isa", device.isa});
  for (const Case& each : cases) {
    if (!context.wants(each.name, each.job.dtype)) continue;
    TRY_ASSIGN(TemporaryDirectory directory, TemporaryDirectory::create());
    Storm storm(context, each, directory, guard::process_launcher(binary, arguments));
    const int minutes = context.options().minutes;
    TRY(storm.execute(minutes > 0 ? minutes : each.minutes));
    storm.report(report);
    if (!storm.digest_equal()) report.notes.push_back(fmt::format("The runs are kept in {}.", std::move(directory).keep().string()));
  }
  return report;
}

}  // namespace

extern const Bench storm;
const Bench storm{.name = "storm",
                  .summary = "A run under random faults of all kinds: recoveries, goodput, and whether its bits are those of a calm one.",
                  .jobs = {"storm", "kills"},
                  .run = run,
                  .by_name_only = true};

}  // namespace godwit::bench
