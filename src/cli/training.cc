#include "cli/training.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/machine.h"
#include "cli/command.h"
#include "cli/progress.h"
#include "train/run.h"

namespace godwit::cli {

void declare_training(App app, TrainingOptions& options) {
  app.add_option("CONFIG", options.config, "The run's TOML file; docs/config.md lists every key").required();
  app.add_option("--run", options.directory, "The run's directory: made if it is not there, gone on with if it is").required();
  app.add_option("--set", options.sets, "section.key=value, laid over the file; may be repeated").one_value_each();
  app.add_option("--workers", options.workers, "Processes that compute, 1 by default; 0: this process does everything").between(0, 1024);
  app.add_option("--verify", options.verify, "off, inline or dual: how results are judged; [guard] verify");
  app.add_option("--faults", options.faults, "A story whose faults strike this run, see docs/stories.md");
  app.add_flag("--dry-run", options.dry_run, "Say what the run would take (FLOPs, bytes, memory) and stop");
  app.add_flag("--json", options.json, "Print the result as one JSON document");
  declare_compute(app, options.compute, true,
                  "Where workers sit: a kind of chip (see godwit list backends), or NAME:DEVICE; or one for each, with commas between");
}

Result<int> run_training(const TrainingOptions& options, const train::OpenRollOuts& open_roll_outs) {
  catch_interrupts();
  Progress progress(options.compute.quiet);
  train::RunOptions run;
  run.config = options.config;
  run.directory = options.directory;
  run.sets = options.sets;
  if (!options.compute.dtype.empty()) run.sets.push_back("run.dtype=\"" + options.compute.dtype + "\"");
  run.device = device_options(options.compute);
  TRY_ASSIGN(run.places, guard::parse_places(options.compute.backend));
  if (const int seats = std::max(1, options.workers); run.places.size() > 1 && std::ssize(run.places) != seats) {
    return input_error("--backend has {} places for {} {}: give one for all of them, or one for each", run.places.size(), seats,
                       seats == 1 ? "worker" : "workers");
  }
  run.device.backend = run.places[0].backend;
  run.device.number = run.places[0].device;
  if (!options.verify.empty()) run.sets.push_back("guard.verify=\"" + options.verify + "\"");
  run.workers = options.workers;
  run.faults = options.faults;
  run.dry_run = options.dry_run;
  run.open_roll_outs = open_roll_outs;
  run.progress = [&](const train::Progress& p) {
    const double share = p.steps == 0 ? 1.0 : static_cast<double>(p.step) / static_cast<double>(p.steps);
    if (p.validation_loss)
      progress.line(fmt::format("step {}: loss {:.4f}, validation loss {:.4f} nats per token", p.step, p.loss, *p.validation_loss));
    const std::string what = p.rolled ? fmt::format("reward {:.3f}  right {:.1f} %  thinking {:.1f} tokens", p.rolled->reward,
                                                    100 * p.rolled->accuracy, p.rolled->thinking)
                                      : fmt::format("loss {:.4f}", p.loss);
    progress.update(share, fmt::format("step {}/{}  {}  {:.0f} tokens/s  {} left", p.step, p.steps, what, p.tokens_per_s,
                                       duration_text(p.seconds_left)));
  };
  run.tokenizing = [&](double share) { progress.update(share, "text to tokens"); };
  run.say = [&](const std::string& text) { progress.line(text); };
  run.interrupted = interrupted;
  TRY_ASSIGN(const train::RunResult result, train::train(run));
  if (options.dry_run) {
    TRY(print(result.plan));
    return exit_finished;
  }
  progress.finish();
  if (options.json) {
    Json json;
    json["step"] = result.step;
    json["digest"] = hex(result.digest);
    json["finished"] = result.finished;
    if (result.validation_loss) json["validation_loss"] = *result.validation_loss;
    json["planned_bytes"] = result.figures.total();
    json["peak_resident_bytes"] = peak_resident_bytes();
    TRY(print_json(json));
  }
  progress.line(result.finished ? fmt::format("finished at step {}, digest {}", result.step, hex(result.digest))
                                : fmt::format("stopped at step {}; the same command goes on", result.step));
  return result.finished ? exit_finished : exit_stopped;
}

}  // namespace godwit::cli
