#include "qualify/qualify.h"

#include <fmt/format.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/temporary_directory.h"
#include "guard/trust.h"
#include "qualify/session.h"
#include "train/device_programs.h"
#include "train/rl_settings.h"
#include "train/run.h"

namespace godwit::qualify {

namespace {

// The run as it would begin, in a directory that goes again.
Result<train::Setup> make_setup(const Options& options, const store::RunDirectory& directory) {
  const auto keys = train::all_config_keys();
  const auto sections = train::open_config_sections();
  TRY_ASSIGN(Config config, Config::load(options.config, options.sets, keys, sections));
  const bool rolls_out = train::trains_by_roll_outs(config);
  if (!rolls_out) TRY(train::check_rl_has_task(config));
  const auto tokenizing = [&](double share) { options.progress(0, fmt::format("text to tokens, {:.0f} %", 100 * share)); };
  return train::make_setup(std::move(config), directory, tokenizing, options.interrupted, rolls_out ? options.open_roll_outs : nullptr);
}

}  // namespace

Result<Qualification> qualify(const Options& options) {
  const double begin = monotonic_seconds();
  TRY_ASSIGN(const TemporaryDirectory scratch, TemporaryDirectory::create());
  const store::RunDirectory directory{scratch / "run"};
  TRY(create_directories_durably(directory.root));
  TRY_ASSIGN(train::Setup setup, make_setup(options, directory));
  const std::unique_ptr<train::TrainingTask> task = train::make_task(setup, directory, options.device, options.workers);
  const std::vector<program::Program> programs = train::device_programs(*task, options.workers);

  Qualification found;
  TRY_ASSIGN(found.device, guard::identify(options.device));
  found.program = train::programs_digest(programs);
  found.config = options.config.string();
  found.at = unix_time();
  found.brief = options.brief;
  found.workers = options.workers;
  found.threads = options.device.threads;
  found.lie = options.lie;

  std::vector<Trial> trials = op_trials(programs);
  const std::size_t ops = trials.size();
  for (Trial& whole : whole_trials(*task)) trials.push_back(std::move(whole));
  const std::size_t wholes = trials.size() - ops;
  for (Trial& yardstick : yardsticks()) trials.push_back(std::move(yardstick));
  Session session(options, trials, ops, wholes);
  TRY(session.go(found));
  found.seconds = monotonic_seconds() - begin;
  return found;
}

Result<void> note(const Qualification& found) {
  if (!found.lie.empty()) return {};
  guard::TrustNote note{.what = guard::Known::refused, .device = found.device};
  if (found.qualified()) note.what = found.brief ? guard::Known::qualified_short : guard::Known::qualified;
  note.program = found.program;
  note.at = found.at;
  note.seconds = found.seconds;
  note.source = found.config;
  if (!found.qualified()) note.text = found.failures.front().text();
  return guard::Trust().note(note);
}

}  // namespace godwit::qualify
