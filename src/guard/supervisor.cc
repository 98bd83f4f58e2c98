#include "guard/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <random>

#include "base/clock.h"
#include "base/log.h"
#include "guard/messages.h"

namespace godwit::guard {

namespace {

// Behind why workers cannot sit where they should, if that is not where the command says.
std::string moved_there(const Placement& placement) {
  for (std::size_t w = 0; w < placement.workers.size(); ++w) {
    const Placement::Seat& seat = placement.workers[w];
    if (seat.since == 0) continue;
    return fmt::format("; worker {} was moved to {} at step {}: move it elsewhere, godwit move RUN --to BACKEND, and start again", w,
                       seat.place.text(), seat.since);
  }
  return "";
}

int parts_of(std::int64_t samples, std::int64_t part) {
  return static_cast<int>((samples + part - 1) / part);
}

}  // namespace

std::int64_t part_samples(std::int64_t samples, int workers) {
  if (workers <= 1) return samples;
  auto parts = static_cast<std::int64_t>(std::bit_ceil(static_cast<unsigned>(workers)));
  // A number of workers that is no power of two gets more parts, so that none waits long for the others.
  if (parts != workers && samples >= 8 * parts) parts *= 2;
  return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>((samples + parts - 1) / parts)));
}

Supervisor::Supervisor(Task& task, const CrewOptions& options)
    : task_(task),
      options_(options),
      sizes_(task.sizes()),
      part_samples_(part_samples(sizes_.samples, options.workers)),
      staff_(task, {.workers = options.workers,
                    .places = places(),
                    .parts = parts_of(sizes_.samples, part_samples_),
                    .threads = options.threads,
                    .states = states_moving,
                    .faults = options.faults}),
      workers_(static_cast<std::size_t>(options.workers) + 1),
      began_at_(monotonic_seconds()) {
  std::random_device device;
  for (std::uint64_t& word : secret_) word = std::uint64_t{device()} << 32 | device();
}

Supervisor::~Supervisor() {
  record(true);
}

std::string Supervisor::description() const {
  const auto& options = options_;
  std::vector<Place> where = places();
  if (std::ranges::count(where, where[0]) == std::ssize(where)) where.resize(1);
  return fmt::format("{} {} on {}, {}", options.workers, options.workers == 1 ? "worker" : "workers", places_text(where),
                     options.verify == CrewOptions::Verify::dual            ? "every proposal made twice"
                     : options.verify == CrewOptions::Verify::inline_checks ? "checked inline"
                                                                            : "unchecked");
}

// ---- The keeper ----

Result<Json> Supervisor::keep(Json order) {
  Post& keeper = staff_.keeper();
  keeper.wanted = true;
  while (true) {
    while (keeper.state != Post::State::idle) {
      if (options_.interrupted()) return stopped();
      if (keeper.failures >= 3 && keeper.trouble_kind == ErrorKind::input && !keeper.trouble.empty())
        return Error{ErrorKind::input, keeper.trouble};
      attend(wait_ms);
    }
    kept_.reset();
    keeper_gone_ = false;
    staff_.order(keeper, order);
    while (!kept_ && !keeper_gone_) {
      attend(wait_ms);
      if (!kept_ && options_.interrupted()) return stopped();
    }
    if (!kept_) continue;  // another keeper carries it out: all it needs is in shared memory
    if (auto error = error_from(*kept_)) return *std::move(error);
    return *std::move(kept_);
  }
}

// What fails in the world (a disk, a file of data) is tried again until it does not.
Result<Json> Supervisor::keep_on(const Json& order, const std::string& what) {
  double pause = 0.1;
  while (true) {
    Result<Json> done = keep(order);
    if (done.ok() || done.error().kind != ErrorKind::world) {
      waiting_.clear();
      if (!done.ok()) return done;
      if (const std::string repaired = done->value("repaired", std::string()); !repaired.empty()) {
        ++counters_["findings"];
        fault(repaired);
      }
      return done;
    }
    if (waiting_.empty()) log_warning("{}: {}; trying again until it works", what, done.error().message);
    waiting_ = fmt::format("{}: {}", what, done.error().message);
    record(true);
    const double until = monotonic_seconds() + pause;
    while (monotonic_seconds() < until) {
      if (options_.interrupted()) return stopped();
      attend(wait_ms);
    }
    pause = std::min(2.0, 2 * pause);
  }
}

Result<void> Supervisor::load(std::uint64_t before, KeeperTask::Loaded& loaded) {
  const std::size_t to = free_state();
  if (previous_ == to) previous_.reset();
  Json order;
  order["do"] = "load";
  order["state"] = to;
  order["before"] = before;
  TRY_ASSIGN(const Json done, keep(std::move(order)));
  TRY_ASSIGN(loaded, loaded_from(done));
  counters_["checkpoints_refused"] += loaded.refused.size();
  if (!loaded.refused.empty()) recorded_at_ = 0;
  committed_ = to;
  previous_.reset();
  made_.reset();
  ++version_;
  return {};
}

Result<Crew::Begun> Supervisor::begin(std::uint64_t before) {
  TRY(staff_.create());
  recall();
  staff_.keeper().wanted = true;
  for (int w = 0; w < options_.workers; ++w) staff_.worker(w).wanted = true;
  Begun begun;
  TRY(load(before, begun.loaded));
  begun.digest = state_digest(task_.digests(staff_.state(committed_)));
  if (begun.loaded.loaded) checkpointed_ = begun.loaded.step;
  // A device that cannot be had at all is the user's to know at once, not the ladder's to work round.
  while (true) {
    bool any = false, all_failed = true;
    for (int w = 0; w < options_.workers; ++w) {
      const Post& post = staff_.worker(w);
      any = any || post.state == Post::State::idle;
      all_failed = all_failed && !post.trouble.empty() && post.trouble_kind == ErrorKind::input;
    }
    if (any) break;
    look_for_request();
    if (all_failed && !move_) return Error{ErrorKind::input, staff_.worker(0).trouble + moved_there(options_.placement)};
    if (all_failed) break;  // they are to sit elsewhere; until then the trusted CPU goes on
    bool beyond_hope = true;
    for (int w = 0; w < options_.workers; ++w)
      beyond_hope = beyond_hope && (staff_.worker(w).failures >= 3 || staff_.worker(w).killed_in_a_row >= killed_in_a_row_max);
    if (beyond_hope) break;  // the trusted CPU
    if (options_.interrupted()) return stopped();
    attend(wait_ms);
  }
  for (const std::string& each : staff_.worker(0).unconfined) log_warning("workers are not confined by {}", each);
  if (const std::string& coverage = staff_.worker(0).coverage; !coverage.empty()) log_info("the device does {}", coverage);
  return begun;
}

std::size_t Supervisor::free_state() const {
  std::optional<std::size_t> last;
  const bool kept = move_ && move_->stage == Move::proving;
  for (std::size_t i = 0; i < (kept ? states_moving : states_usual); ++i) {
    if (i == committed_ || (writer_ && i == writing_state_) || (kept && i == move_->state)) continue;
    if (previous_ != i) return i;
    last = i;
  }
  CHECK(last, "no state buffer is free");
  return *last;
}

// ---- A step ----

Result<NextState> Supervisor::next() {
  TRY(go_on_moving());
  const std::uint64_t target = task_.step(staff_.state(committed_)) + 1;
  while (true) {
    if (options_.interrupted()) return stopped();
    const std::uint64_t step = task_.step(staff_.state(committed_)) + 1;
    TRY_ASSIGN(std::optional<NextState> made, make(step));
    // Made before, and lost: it must come out the same.
    const auto before = options_.committed ? options_.committed(step) : std::nullopt;
    if (made && before && !(*before == made->digest)) {
      TRY_ASSIGN(made, settle_difference(*made, *before));
      if (made && made->rolled_back) return *std::move(made);
    }
    if (!made) continue;  // another state is committed now
    if (step == target) {
      const auto in_a_row = made->facts.value("skipped_in_a_row", std::uint64_t{0});
      if (made->skipped && in_a_row > options_.skipped_in_a_row_max) return roll_back(*made);
      return *std::move(made);
    }
    commit();
  }
}

Result<std::optional<NextState>> Supervisor::make(std::uint64_t step) {
  staff_.set_step(step);
  TRY_ASSIGN(const Drawn drawn, draw(step));
  writing_s_ = 0;
  if (drawn.lacks.empty()) {
    begin_parts(step, false);
  } else {
    TRY(ask(step, drawn.lacks));
  }
  TRY(prove_candidates(step));
  while (true) {
    TRY(propose(step));
    const std::size_t to = free_state();
    if (previous_ == to) previous_.reset();
    Json order;
    order["do"] = "make";
    order["from"] = committed_;
    order["to"] = to;
    order["area"] = 0;
    order["skip"] = !poisoned_.empty();
    order["proposals"] = to_json(standing());
    Result<Json> done = keep(std::move(order));
    if (!done.ok()) {
      if (done.error().kind != ErrorKind::world) return done.error();
      fault(fmt::format("the keeper could not make the state: {}", done.error().message));
      return std::optional<NextState>();  // with fresh samples
    }
    TRY_ASSIGN(Made made, made_from(*done));
    if (!made.mended.empty()) {
      ++counters_["findings"];
      fault(made.mended);
    }
    if (made.doubts.empty()) {
      // Not before: as long as the whole is not judged, the samples may be at fault.
      for (const Part& part : parts_) {
        if (!part.standing) continue;
        for (const int worker : decide(part.attempts, devices(), part.proof).quarantine) quarantine(worker, part.attempts);
      }
      note_parts();
      made_ = to;
      NextState next{step,
                     state_digest(task_.digests(staff_.state(to))),
                     std::move(made.facts),
                     std::move(made.samples),
                     !poisoned_.empty(),
                     poisoned_.empty() ? std::move(made.note) : poisoned_,
                     writing_s_ + longest_writing()};
      if (next.skipped && !trusted_alone_) ++counters_["skipped"];
      return std::optional(std::move(next));
    }
    for (const Doubt& each : made.doubts) {
      if (!each.proposals.empty()) {
        doubt(each);
        continue;
      }
      fault(each.what);
      ++counters_["findings"];
      TRY(restore());
      return std::optional<NextState>();
    }
  }
}

Result<void> Supervisor::restore() {
  ++counters_["rollbacks"];
  rung_ = "roll back";
  const std::uint64_t step = task_.step(staff_.state(committed_));
  if (previous_) {
    Json order;
    order["do"] = "check";
    order["state"] = *previous_;
    TRY_ASSIGN(const Json done, keep(std::move(order)));
    if (done.value("changed", std::string("?")).empty()) {
      committed_ = *previous_;
      previous_.reset();
      ++version_;
      log_warning("going on from the state before, of step {}", task_.step(staff_.state(committed_)));
      return {};
    }
  }
  KeeperTask::Loaded loaded;
  TRY(load(step, loaded));
  log_warning("going on from {}", loaded.loaded ? fmt::format("checkpoint {}", loaded.step) : std::string("the beginning"));
  return {};
}

void Supervisor::commit() {
  CHECK(made_, "there is no state to commit");
  previous_ = committed_;
  committed_ = *made_;
  made_.reset();
  ++version_;
  const double now = monotonic_seconds();
  if (committed_at_ > 0) step_s_ = step_s_ == 0 ? now - committed_at_ : 0.8 * step_s_ + 0.2 * (now - committed_at_);
  committed_at_ = now;
  constexpr std::size_t fourth = states_moving - 1;
  if (fourth_used_ && !move_ && committed_ != fourth && previous_ != fourth && !(writer_ && writing_state_ == fourth)) {
    staff_.discard_state(fourth);
    fourth_used_ = false;
  }
  fourth_used_ = fourth_used_ || committed_ == fourth;
  double first = now;
  for (const auto& [since, what] : open_faults_) {
    first = std::min(first, since);
    recoveries_.push_back({task_.step(staff_.state(committed_)), what, now - since});
    if (recoveries_.size() > 1000) recoveries_.pop_front();
  }
  lost_s_ += now - first;
  open_faults_.clear();
  rung_.clear();
  for (Worker& worker : workers_) {
    if (worker.aside && task_.step(staff_.state(committed_)) >= worker.aside_until && now >= worker.aside_until_s) {
      worker.aside = false;  // perhaps it has recovered
      worker.returned = true;
      worker.seconds.clear();
    }
  }
  record();
}

// ---- Everything that happens ----

void Supervisor::fault(const std::string& what, double ago_s) {
  ++counters_["faults"];
  recorded_at_ = 0;  // told at once: the next fault may be this process's own
  open_faults_.emplace_back(monotonic_seconds() - ago_s, what);
  log_warning("{}", what);
}

void Supervisor::pass(Phase phase, std::uint64_t step) {
  if (options_.faults) (void)options_.faults->pass({Role::supervisor, -1, step, phase, {}, true});
}

void Supervisor::attend(int milliseconds) {
  std::vector<int> also;
  if (waited_for_ >= 0) also.push_back(waited_for_);
  if (writer_) also.push_back(writer_->descriptor());
  for (const Event& event : staff_.attend(milliseconds, also)) happened(event);
  if (writer_) {
    if (const auto ending = writer_->ending()) writer_ended(*ending);
  }
  look_for_request();
  record();
}

void Supervisor::happened(const Event& event) {
  Post& post = *event.post;
  const bool keeper = post.role == Role::keeper;
  if (!keeper && &post != &staff_.worker(post.number)) return candidate_happened(event);
  if (event.kind == Event::Kind::ended) {
    const bool refused = version_ == 1 && post.trouble_kind == ErrorKind::input && !post.trouble.empty();  // begin() says so
    if (post.wanted && !refused) {
      ++counters_["respawns"];
      fault(fmt::format("{}: {}", post.name(), event.why), event.silent_s);
    }
    if (keeper) {
      keeper_gone_ = true;
      return;
    }
    Worker& worker = workers_[static_cast<std::size_t>(post.number)];
    worker.followed = 0;
    if (worker.part >= 0) {
      Part& part = parts_[static_cast<std::size_t>(worker.part)];
      part.running = nullptr;
      part.attempts.push_back({post.number, post.trusted, event.outside ? Outcome::killed : Outcome::broken, false, {}, event.why});
    }
    worker.part = -1;
    for (Chunk& chunk : chunks_) {
      if (chunk.running == &post) chunk.running = nullptr;
    }
    return;
  }
  if (event.kind == Event::Kind::ready) {
    if (!keeper) workers_[static_cast<std::size_t>(post.number)].followed = 0;
    return;
  }
  if (keeper) {
    kept_ = event.content;
    return;
  }
  for (Chunk& chunk : chunks_) {
    if (chunk.running == &post) return evaluated(chunk, event.content);
  }
  if (workers_[static_cast<std::size_t>(post.number)].part >= 0) answered(post, event.content);
}

void Supervisor::wait(const std::function<bool()>& done, std::chrono::milliseconds time, int descriptor) {
  waited_for_ = descriptor;
  const double end = monotonic_seconds() + static_cast<double>(time.count()) / 1000;
  while (!done() && monotonic_seconds() < end) attend(wait_ms);
  waited_for_ = -1;
}

std::unique_ptr<Crew> make_supervisor(Task& task, const CrewOptions& options) {
  return std::make_unique<Supervisor>(task, options);
}

}  // namespace godwit::guard
