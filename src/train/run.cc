#include "train/run.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/machine.h"
#include "device/backends.h"
#include "device/coverage.h"
#include "guard/crew.h"
#include "guard/disk_faults.h"
#include "guard/story.h"
#include "store/checkpoint.h"
#include "store/ledger.h"
#include "store/run_directory.h"
#include "train/admission.h"
#include "train/engine.h"
#include "train/metrics.h"
#include "train/rl_settings.h"
#include "train/scores.h"
#include "train/setup.h"
#include "train/task.h"

namespace godwit::train {

namespace {

constexpr const char* rolled_back = "rollback";  // verdicts of the journal
constexpr const char* moved = "move";            // workers sit elsewhere from the next step on; the state is as it was

std::string gigabytes(std::int64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

std::string plan_table(const Setup& setup, const Programs& programs, const Figures& f) {
  const std::int64_t predictions = setup.predictions_max() * setup.program_settings().run.batch;
  std::string t;
  t += fmt::format("data        {}\n", setup.dataset->description());
  t += fmt::format("model       {} parameters, {} active per token\n", setup.model->parameter_count(),
                   setup.model->active_parameter_count());
  t += fmt::format("step        {} samples, {} predictions, {:.3f} TFLOP, {:.3f} GB moved\n", setup.settings.run.batch, predictions,
                   f.flops_per_step / 1e12, f.bytes_per_step / 1e9);
  t += fmt::format("            {:.1f} MFLOP per token\n", f.flops_per_step / 1e6 / static_cast<double>(predictions));
  t += fmt::format("memory      {} in all: state {}, gradients {}, activations {}, other {}\n", gigabytes(f.total()),
                   gigabytes(f.state_bytes), gigabytes(f.gradient_bytes), gigabytes(f.arena_bytes),
                   gigabytes(f.persistent_bytes + f.bound_bytes + f.backend_bytes));
  t += programs.describe();
  return t;
}

class Run {
 public:
  Run(const RunOptions& options, Setup setup) : options_(options), directory_{options.directory}, setup_(std::move(setup)) {}

  Result<RunResult> execute();

 private:
  void say(const std::string& text) const {
    if (options_.say) options_.say(text);
  }
  Result<void> check_figures();  // what the run needs; an input error if the machine has not that much memory
  Result<void> open_figures();   // metrics and samples, cut back to the committed step
  Result<void> begin();          // state as of the newest good checkpoint, or fresh
  Result<void> step();           // propose, judge, commit
  // What was committed after a step counts no more: a line of the journal says so, and what was made of it goes.
  Result<void> take_back(std::uint64_t step, const guard::NextState::RolledBack& rolled_back);
  [[nodiscard]] Result<void> remove_after(std::uint64_t step);  // checkpoints, and the best one
  [[nodiscard]] std::uint64_t last_with_batch() const;          // up to the committed step
  // Lines of earlier commits are on the disk, or the disk is known to be behind and the run goes on from memory.
  Result<void> settle();
  void point(guard::Phase phase, std::uint64_t step);  // faults on purpose
  [[nodiscard]] Result<guard::Placement> place_workers();
  Result<void> evaluate();  // the state as it is, whose step has its line in the metrics
  Result<void> checkpoint(bool wait);
  Result<RunResult> finish(bool finished);
  [[nodiscard]] bool due(std::int64_t every) const {
    const auto step = static_cast<std::int64_t>(step_);
    return every > 0 && step > 0 && step % every == 0;
  }
  [[nodiscard]] bool evaluation_due() const {
    const std::int64_t every = setup_.settings.run.evaluate_every;
    return setup_.dataset->validation_count() > 0 && every > 0 && (due(every) || last());
  }
  [[nodiscard]] bool last() const { return static_cast<std::int64_t>(step_) >= setup_.settings.run.steps; }

  const RunOptions& options_;
  store::RunDirectory directory_;
  Setup setup_;
  std::unique_ptr<TrainingTask> task_;
  std::unique_ptr<guard::Crew> crew_;
  std::unique_ptr<store::Ledger> journal_;
  std::shared_ptr<guard::Faults> faults_;
  std::optional<Metrics> metrics_;
  std::unique_ptr<store::AppendLater> samples_;  // with roll-outs
  std::uint64_t step_ = 0;                       // committed
  Digest digest_;                                // of the state as it is
  std::optional<store::Best> best_;
  std::optional<double> validation_loss_;
  Figures figures_;
  double seconds_per_step_ = 0;
  bool behind_ = false;  // the journal
  std::optional<guard::DiskFaults> disk_faults_;
};

Result<void> Run::begin() {
  TRY(remove_temporaries(directory_.root));
  for (const fs::path& each : {directory_.checkpoints(), directory_.rewards()}) {
    if (fs::exists(each)) TRY(remove_temporaries(each));
  }
  TRY(create_directories_durably(directory_.checkpoints()));
  TRY_ASSIGN(journal_, store::Ledger::open(directory_.journal()));
  // The process before may have ended between its line and what follows from it.
  if (!journal_->entries().empty() && journal_->entries().back().verdict == rolled_back) TRY(remove_after(journal_->entries().back().step));
  TRY_ASSIGN(const guard::Crew::Begun begun, crew_->begin(std::numeric_limits<std::uint64_t>::max()));
  for (const std::string& text : begun.loaded.refused) log_warning("{}", text);
  step_ = begun.loaded.step;
  digest_ = begun.digest;
  if (begun.loaded.loaded) {
    if (!begun.loaded.refused.empty()) log_warning("going on from checkpoint {}, the newest good one", step_);
    if (begun.loaded.profile != task_->profile()) {
      return input_error("the run in '{}' was made in the profile {}, this build computes {}", directory_.root.string(),
                         begun.loaded.profile, task_->profile());
    }
    const auto committed = journal_->committed(step_);
    if (committed && !(*committed == digest_)) {
      return world_error("checkpoint {} has the digest {}, the journal committed {}: one of them is not this run's", step_, hex(digest_),
                         hex(*committed));
    }
    if (!committed && step_ > 0) {
      return world_error("checkpoint {} is of a step that the journal in '{}' does not hold: lines are missing from its end", step_,
                         directory_.journal().string());
    }
  } else if (!journal_->entries().empty() && !begun.loaded.refused.empty()) {
    return world_error(
        "no checkpoint in '{}' is whole, and the journal has {} lines: restore one checkpoint, or begin again in another directory",
        directory_.checkpoints().string(), journal_->entries().size());
  }
  if (journal_->entries().empty()) journal_->post({step_, digest_, "start", setup_.init ? setup_.init->description() : ""});
  if (setup_.resumed && setup_.steps_before != setup_.settings.run.steps) {
    journal_->post({step_, digest_, "extend", fmt::format("steps {} -> {}", setup_.steps_before, setup_.settings.run.steps)});
    TRY(write_record(setup_, directory_));
  }
  TRY(open_figures());
  TRY_ASSIGN(best_, store::read_best(directory_));
  if (const Result<void> written = checkpoint(true); !written.ok()) {
    if (setup_.resumed && written.error().kind == ErrorKind::world) {
      log_warning("no checkpoint could be written: {}; going on from memory", written.error().message);
    } else {
      return written.error();
    }
  }
  return {};
}

Result<void> Run::open_figures() {
  metrics_.reset();
  samples_.reset();
  TRY_ASSIGN(metrics_, Metrics::open(directory_.metrics(), step_));
  if (!setup_.roll_outs) return {};
  TRY_ASSIGN(StepLines samples, open_step_lines(directory_.samples(), step_));
  samples_ = std::make_unique<store::AppendLater>(std::move(samples.file), samples.last_line);
  return {};
}

void Run::point(guard::Phase phase, std::uint64_t step) {
  if (!faults_) return;
  const guard::Point at{guard::Role::supervisor, -1, step, phase, {}, true};
  const std::vector<const guard::Fault*> struck = faults_->pass(at);
  disk_faults_->strike(*faults_, struck, at);
  for (const guard::Fault* fault : struck) {
    if (fault->act != guard::Act::move) continue;
    const Result<guard::Place> to = guard::parse_place(fault->how);
    const std::vector<int> workers = fault->at.worker < 0 ? std::vector<int>() : std::vector<int>{fault->at.worker};
    const Result<void> asked =
        to.ok() ? guard::write_move_request(directory_.move_request(), guard::make_move_request(*to, workers)) : to.error();
    faults_->tell(*fault, at, asked.ok() ? "it is asked for" : asked.error().message);
  }
}

// Where the record says, if this is the command that made it; and what was asked of a run that one process does alone is refused.
Result<guard::Placement> Run::place_workers() {
  const std::vector<guard::Place> here = {{options_.device.backend, options_.device.number}};
  const std::vector<guard::Place>& asked = options_.places.empty() ? here : options_.places;
  const int seats = std::max(1, options_.workers);
  CHECK(asked.size() == 1 || std::ssize(asked) == seats, "{} places for {} workers", asked.size(), seats);
  TRY_ASSIGN(const auto recorded, guard::read_placement(directory_.placement()));
  guard::Placement placement = guard::settle(recorded, asked, seats);
  placement.alone = options_.workers == 0;
  if (placement.alone) {
    TRY_ASSIGN(const auto request, guard::read_move_request(directory_.move_request()));
    if (request) {
      placement.moves.push_back({.id = request->id,
                                 .to = request->to,
                                 .workers = request->workers,
                                 .why = "one process does everything here (--workers 0): start it with --workers 1 to move it"});
      log_warning("not moved to {}: {}", request->to.text(), placement.moves.back().why);
      TRY(remove_tree(directory_.move_request()));
    }
  }
  const Result<void> written = guard::write_placement(directory_.placement(), placement);
  if (!written.ok() && !(setup_.resumed && written.error().kind == ErrorKind::world)) return written.error();
  if (!written.ok()) log_warning("where workers sit is not recorded: {}", written.error().message);
  return placement;
}

Result<void> Run::settle() {
  constexpr std::chrono::milliseconds patience{2000};
  const auto settled = [&] {
    journal_->acknowledge();
    return journal_->durable() == journal_->posted() || journal_->trouble().has_value() || journal_->fatal().has_value();
  };
  crew_->wait(settled, behind_ ? std::chrono::milliseconds(0) : patience, journal_->descriptor());
  if (const auto fatal = journal_->fatal()) return *fatal;
  const bool behind = journal_->durable() != journal_->posted();
  if (behind && !behind_) {
    log_warning("the journal is behind: {}; the run goes on from memory", journal_->trouble().value_or("the disk does not answer"));
  } else if (!behind && behind_) {
    log_info("the journal has caught up");
  }
  behind_ = behind;
  return {};
}

Result<void> Run::checkpoint(bool wait) {
  store::Retention retention;
  retention.last = static_cast<std::uint64_t>(setup_.settings.run.keep_last);
  retention.every = static_cast<std::uint64_t>(setup_.settings.run.keep_every);
  if (best_) retention.keep.push_back(best_->step);
  if (const std::uint64_t good = last_with_batch(); good < step_) {
    // Perhaps the training diverges: where it goes back to, and what it then compares that with.
    TRY_ASSIGN(std::vector<std::uint64_t> before, store::list_checkpoints(directory_.checkpoints()));
    std::erase_if(before, [&](std::uint64_t step) { return step > good; });
    constexpr std::size_t kept = 2;
    retention.keep.insert(retention.keep.end(), before.end() - static_cast<std::ptrdiff_t>(std::min(kept, before.size())), before.end());
  }
  TRY_ASSIGN(const bool begun, crew_->checkpoint(retention, wait));
  if (!begun) log_warning("checkpoint {} is left out: the one before is still being written", step_);
  return {};
}

std::uint64_t Run::last_with_batch() const {
  const auto& entries = journal_->entries();
  for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
    if (entry->step <= step_ && entry->verdict != "skip" && entry->verdict != moved) return entry->step;
  }
  return 0;
}

Result<void> Run::remove_after(std::uint64_t step) {
  TRY_ASSIGN(const auto checkpoints, store::list_checkpoints(directory_.checkpoints()));
  for (const std::uint64_t each : checkpoints) {
    if (each > step) TRY(remove_tree(directory_.checkpoints() / std::to_string(each)));
  }
  TRY_ASSIGN(const auto best, store::read_best(directory_));
  if (best && best->step > step) TRY(remove_tree(directory_.best()));
  if (!fs::exists(directory_.rewards())) return {};
  // Scores of completions that will not be written. Those of the next step are of this step's state, which stands.
  TRY_ASSIGN(const auto records, scored_steps(directory_.rewards()));
  for (const std::uint64_t each : records) {
    if (each > step + 1) TRY(remove_tree(scores_path(directory_.rewards(), each)));
  }
  return {};
}

Result<void> Run::take_back(std::uint64_t step, const guard::NextState::RolledBack& back) {
  log_warning("what was committed after step {} counts no more: {}", step, back.why);
  journal_->post({step, back.digest, rolled_back, back.why});
  // The line first: without it, a checkpoint that is gone would be missing.
  const auto durable = [&] {
    journal_->acknowledge();
    return journal_->durable() == journal_->posted() || journal_->fatal().has_value() || options_.interrupted();
  };
  crew_->wait(durable, std::chrono::hours(24 * 365), journal_->descriptor());
  if (const auto fatal = journal_->fatal()) return *fatal;
  if (journal_->durable() != journal_->posted()) return Error{ErrorKind::stopped, "stopped on request"};
  TRY(remove_after(step));
  step_ = step;
  digest_ = back.digest;
  validation_loss_.reset();
  TRY(open_figures());
  TRY_ASSIGN(best_, store::read_best(directory_));
  return {};
}

Result<void> Run::evaluate() {
  validation_loss_ = metrics_->validation_loss();
  if (!validation_loss_) {
    TRY_ASSIGN(const guard::Evaluation evaluation, crew_->evaluate());
    // What is no number is no figure for a plot.
    if (std::isfinite(evaluation.loss)) metrics_->add_validation_loss(evaluation.loss);
    validation_loss_ = evaluation.loss;
  }
  if (std::isfinite(*validation_loss_) && (!best_ || *validation_loss_ < best_->validation_loss)) {
    // The checkpoint first: best.json must never name a step that is not there.
    const store::Best best{step_, *validation_loss_};
    best_ = best;
    Result<void> kept = checkpoint(true);
    if (kept.ok()) kept = store::write_best(directory_, best);
    if (!kept.ok()) {
      if (kept.error().kind != ErrorKind::world) return kept;
      log_warning("the best step so far, {}, is not kept: {}", step_, kept.error().message);
    }
  }
  return {};
}

Result<void> Run::step() {
  const double began = monotonic_seconds();
  TRY_ASSIGN(const guard::NextState next, crew_->next());
  if (next.rolled_back) TRY(take_back(next.step - 1, *next.rolled_back));
  if (const auto committed = journal_->committed(next.step)) {
    if (!(*committed == next.digest)) {
      return world_error(
          "step {} was replayed with the digest {}, the journal committed {}: the machine, the build or the data computed otherwise this "
          "time",
          next.step, hex(next.digest), hex(*committed));
    }
  } else {
    TRY(settle());  // while this step was made, the line of the one before has had its time
    for (const std::string& each : crew_->moves()) journal_->post({step_, digest_, moved, each});
    point(guard::Phase::committing, next.step);
    journal_->post({next.step, next.digest, next.skipped ? "skip" : "commit", next.note});
  }
  crew_->commit();
  step_ = next.step;
  digest_ = next.digest;
  point(guard::Phase::committed, step_);
  if (next.skipped) log_warning("step {} leaves its batch out: {}", step_, next.note);
  const double seconds = monotonic_seconds() - began;
  seconds_per_step_ = seconds_per_step_ == 0 ? seconds : 0.9 * seconds_per_step_ + 0.1 * seconds;

  const Speed speed = speed_of(next.facts.value("tokens", 0.0), seconds, next.writing_s);
  metrics_->append(step_, next.facts, speed);
  for (const Json& each : next.samples) {
    Json line = {{"step", step_}};
    for (const auto& member : each.items()) line[member.key] = member.value;
    samples_->post(write_json(line) + "\n");
  }
  std::optional<double> evaluated;
  if (evaluation_due()) {
    TRY(evaluate());
    evaluated = validation_loss_;
  }
  if (due(setup_.settings.run.checkpoint_every) && !last()) {
    if (const auto written = checkpoint(false); !written.ok()) {
      log_warning("checkpoint {} was not written: {}; going on, the newest one is {}", step_, written.error().message,
                  crew_->checkpointed() ? std::to_string(*crew_->checkpointed()) : "none");
    }
  }
  if (options_.progress) {
    const double left = seconds_per_step_ * static_cast<double>(setup_.settings.run.steps - static_cast<std::int64_t>(step_));
    Progress progress{step_,
                      static_cast<std::uint64_t>(setup_.settings.run.steps),
                      static_cast<float>(next.facts.value("loss", 0.0)),
                      speed.all,
                      left,
                      evaluated,
                      std::nullopt};
    if (next.facts.contains("reward")) {
      progress.rolled = {next.facts.value("reward", 0.0), next.facts.value("accuracy", 0.0), next.facts.value("thinking_mean", 0.0)};
    }
    options_.progress(progress);
  }
  if (options_.device.profile && options_.profiled) TRY(options_.profiled(crew_->executables()));
  return {};
}

Result<RunResult> Run::finish(bool finished) {
  // What was computed is not given up because a disk fails now: it is waited for, until somebody who cannot wait says so.
  for (bool told = false;; told = true) {
    const Result<void> written = checkpoint(true);
    if (written.ok()) break;
    if (!finished || options_.interrupted()) return written.error();
    if (!told) log_warning("waiting for the disk: {}", written.error().message);
    crew_->wait(options_.interrupted, std::chrono::milliseconds(500), -1);
  }
  const auto durable = [&] {
    journal_->acknowledge();
    return journal_->durable() == journal_->posted() || journal_->fatal().has_value() || (options_.interrupted() && finished);
  };
  crew_->wait(durable, finished ? std::chrono::milliseconds(std::chrono::hours(24 * 365)) : std::chrono::milliseconds(2000),
              journal_->descriptor());
  if (const auto fatal = journal_->fatal()) return *fatal;
  if (journal_->durable() != journal_->posted()) {
    return world_error("the last lines of the journal are not on the disk: {}; the checkpoint of step {} is, and the same command goes on",
                       journal_->trouble().value_or("it does not answer"), step_);
  }
  RunResult result;
  result.step = step_;
  result.digest = digest_;
  result.validation_loss = validation_loss_;
  result.finished = finished;
  result.figures = figures_;
  return result;
}

Result<void> Run::check_figures() {
  figures_ = task_->programs().figures();
  figures_.state_bytes = task_->layout().bytes();
  if (const std::int64_t workers = options_.workers; workers > 0) {
    // Three states (the committed one, the one before, the next), a slot for each part and the keeper's nodes to join them in; and every
    // worker has its own programs.
    const std::int64_t batch = setup_.settings.run.batch;
    const std::int64_t group = setup_.roll_outs ? setup_.roll_outs->group() : 1;
    const std::int64_t part = guard::part_samples(batch, static_cast<int>(workers));
    const std::int64_t parts = (batch + part - 1) / part;
    const auto own_nodes = static_cast<std::int64_t>(task_->programs().nodes_of(part * group)) - 1;
    const std::int64_t joining = parts == 1 ? 0 : static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(parts)));
    figures_.state_bytes *= 3;
    figures_.gradient_bytes = task_->programs().node_bytes() * (parts + joining + workers * own_nodes);
    figures_.arena_bytes *= workers;
    figures_.persistent_bytes *= workers;
    figures_.bound_bytes *= workers;
  }
  const auto memory = static_cast<std::int64_t>(machine().memory_bytes);
  if (figures_.total() <= memory) return {};
  return input_error(
      "the run needs {} (state {}, gradients {}, activations {}), this machine gives {}: use a smaller model, batch or micro_batch, or "
      "recompute = true",
      gigabytes(figures_.total()), gigabytes(figures_.state_bytes), gigabytes(figures_.gradient_bytes), gigabytes(figures_.arena_bytes),
      gigabytes(memory));
}

Result<RunResult> Run::execute() {
  TRY(device::backend_place(options_.device.backend));  // by name: only those who compute load it
  for (const guard::Place& place : options_.places) TRY(device::backend_place(place.backend));
  task_ = make_task(setup_, directory_, options_.device, options_.workers);
  TRY(check_figures());  // before anything is allocated
  if (!options_.dry_run) TRY(check_admission(*task_, options_));
  if (options_.dry_run) {
    // What the backend holds beside the plan is known once programs are prepared; none of it is touched.
    TRY_ASSIGN(auto opened, device::Device::open(options_.device));
    TRY_ASSIGN(auto state, State::create(*opened, *setup_.model, setup_.dataset->begin().values.size(), setup_.copies()));
    Engine engine(*setup_.model, setup_.program_settings(), setup_.predictions_max(), !task_->programs().evaluation.nodes.empty());
    TRY(engine.prepare(*opened, *state));
    TRY_ASSIGN(figures_.backend_bytes, engine.held_bytes());
    figures_.backend_bytes *= std::max(1, options_.workers);
    RunResult result;
    result.figures = figures_;
    result.plan = plan_table(setup_, task_->programs(), figures_);
    device::Coverage coverage;
    for (const device::Executable* executable : engine.executables()) coverage.add(*opened, executable->program());
    result.plan += fmt::format("device      {} does {}\n", opened->name(), coverage.text());
    return result;
  }
  guard::CrewOptions crew;
  crew.checkpoints = directory_.checkpoints();
  crew.threads = options_.device.threads;
  crew.interrupted = options_.interrupted;
  crew.workers = options_.workers;
  crew.verify = setup_.settings.run.verify == "dual"  ? guard::CrewOptions::Verify::dual
                : setup_.settings.run.verify == "off" ? guard::CrewOptions::Verify::off
                                                      : guard::CrewOptions::Verify::inline_checks;
  crew.replay_share = setup_.settings.run.replay_share;
  crew.record = directory_.guard();
  crew.committed = [this](std::uint64_t step) { return journal_->committed(step); };
  crew.made_anew = [this] {
    return static_cast<std::uint64_t>(std::ranges::count(journal_->entries(), rolled_back, &store::JournalEntry::verdict));
  };
  if (!options_.faults.empty()) {
    TRY_ASSIGN(guard::Story story, guard::load_story(options_.faults));
    std::vector<fs::path> files;
    for (const data::DataFile& file : setup_.dataset->files()) files.push_back(file.path);
    disk_faults_.emplace(directory_.checkpoints(), std::move(files), directory_.data());
    TRY_ASSIGN(faults_, guard::Faults::create(std::move(story.faults), directory_.faults().string()));
  }
  crew.faults = faults_;
  for (const std::string& spare : setup_.config.texts("guard", "spare")) {
    TRY_ASSIGN(guard::Place place, guard::parse_place(spare));
    crew.spares.push_back(std::move(place));
  }
  crew.placement_record = directory_.placement();
  crew.move_request = directory_.move_request();
  if (!setup_.resumed) TRY(write_record(setup_, directory_));
  TRY_ASSIGN(crew.placement, place_workers());
  crew_ = options_.workers == 0 ? guard::make_alone(*task_, crew) : guard::make_supervisor(*task_, crew);
  TRY(open_log_file(directory_.log()));
  TRY(begin());
  say(fmt::format("{}: {} parameters ({} active), {}; {} from step {} to {}, {}", directory_.root.string(), setup_.model->parameter_count(),
                  setup_.model->active_parameter_count(), setup_.dataset->description(),
                  setup_.settings.run.dtype == program::Dtype::bf16 ? "bf16" : "f32", step_, setup_.settings.run.steps,
                  crew_->description()));

  // An earlier process may have ended between this step's commit and the record of its evaluation.
  bool evaluation_owed = metrics_->step() == step_ && evaluation_due();
  while (evaluation_owed || !last()) {
    if (options_.interrupted()) return finish(false);
    const auto done = evaluation_owed ? evaluate() : step();
    evaluation_owed = false;
    if (done.ok()) continue;
    if (done.error().kind == ErrorKind::stopped) return finish(false);
    return done.error();
  }
  return finish(true);
}

}  // namespace

Result<RunResult> train(const RunOptions& options) {
  const auto keys = all_config_keys();
  const auto sections = open_config_sections();
  TRY_ASSIGN(Config config, Config::load(options.config, options.sets, keys, sections));
  if (!options.open_roll_outs) TRY(check_rl_has_task(config));
  if (options.open_roll_outs && !trains_by_roll_outs(config)) {
    return input_error("{}: [rl] task is missing, there is nothing to write completions to; a config without [rl]: godwit train takes it",
                       options.config.string());
  }
  const store::RunDirectory directory{options.directory};
  if (fs::exists(directory.root) && !fs::is_directory(directory.root)) {
    return input_error("--run '{}' exists and is not a directory", directory.root.string());
  }
  if (fs::is_directory(directory.root) && !fs::exists(directory.config()) && !fs::exists(directory.lock()) &&
      !fs::is_empty(directory.root)) {
    return input_error("--run '{}' holds other files and is not a run; give an empty or new directory", directory.root.string());
  }
  std::optional<LockFile> lock;
  const bool existed = fs::exists(directory.root);
  TRY(create_directories_durably(directory.root));
  TRY_ASSIGN(lock, LockFile::acquire(directory.lock(), fmt::format("run '{}'", directory.root.string()),
                                     fmt::format("stop it first, or look on with: godwit status {} --watch", directory.root.string()),
                                     std::chrono::seconds(10)));
  Result<Setup> setup = make_setup(std::move(config), directory, options.tokenizing, options.interrupted, options.open_roll_outs);
  if (!setup.ok() || options.dry_run) {
    // A refused or dry start leaves nothing behind.
    Result<RunResult> result = setup.ok() ? Run(options, std::move(setup).value()).execute() : Result<RunResult>(setup.error());
    lock.reset();
    if (!existed && !fs::exists(directory.config())) TRY(remove_tree(directory.root));
    return result;
  }
  Run run(options, std::move(setup).value());
  auto result = run.execute();
  close_log_file();
  if (!result.ok() && !existed && !fs::exists(directory.config())) {
    lock.reset();
    TRY(remove_tree(directory.root));
  }
  return result;
}

}  // namespace godwit::train
