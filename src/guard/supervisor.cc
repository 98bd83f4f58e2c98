#include "guard/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <random>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "guard/disk_faults.h"
#include "guard/messages.h"

namespace godwit::guard {

namespace {

constexpr double record_every_s = 0.2;
constexpr int wait_ms = 20;
constexpr const char* counter_names[] = {"faults",  "replays",  "confirmations", "respawns", "rollbacks",           "quarantined",
                                         "skipped", "findings", "slow",          "resends",  "checkpoints_refused", "checkpoints_failed"};

int parts_of(std::int64_t samples, std::int64_t part) {
  return static_cast<int>((samples + part - 1) / part);
}

Error stopped() {
  return {ErrorKind::stopped, "stopped on request"};
}

std::string finding_text(const Answer& answer) {
  if (answer.findings.empty()) return fmt::format("{} results in doubt", answer.finding_count);
  const device::Finding& f = answer.findings[0];
  return fmt::format("{} in doubt, the first {} of op {} {} of {}: row {} is off by {:.3g} where rounding explains {:.3g}",
                     answer.finding_count, f.tensor, f.index, f.op, f.program, f.row, f.difference, f.bound);
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
                    .parts = parts_of(sizes_.samples, part_samples_),
                    .threads = options.threads,
                    .states = 3,
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
  return fmt::format("{} {}, {}", options.workers, options.workers == 1 ? "worker" : "workers",
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
    if (all_failed) return Error{ErrorKind::input, staff_.worker(0).trouble};
    bool beyond_hope = true;
    for (int w = 0; w < options_.workers; ++w) beyond_hope = beyond_hope && staff_.worker(w).failures >= 3;
    if (beyond_hope) break;  // the trusted CPU
    if (options_.interrupted()) return stopped();
    attend(wait_ms);
  }
  for (const std::string& each : staff_.worker(0).unconfined) log_warning("workers are not confined by {}", each);
  return begun;
}

std::size_t Supervisor::free_state() const {
  std::optional<std::size_t> last;
  for (std::size_t i = 0; i < 3; ++i) {
    if (i == committed_ || (writer_ && i == writing_state_)) continue;
    if (previous_ != i) return i;
    last = i;
  }
  CHECK(last, "no state buffer is free");
  return *last;
}

// ---- A step ----

Result<NextState> Supervisor::next() {
  const std::uint64_t target = task_.step(staff_.state(committed_)) + 1;
  while (true) {
    if (options_.interrupted()) return stopped();
    const std::uint64_t step = task_.step(staff_.state(committed_)) + 1;
    TRY_ASSIGN(std::optional<NextState> made, make(step));
    if (!made) continue;  // another state is committed now
    if (step == target) return *std::move(made);
    // Made before, and lost: it must come out the same.
    const auto expected = options_.committed ? options_.committed(step) : std::nullopt;
    if (expected && !(*expected == made->digest)) {
      return differs_error("step {} was made again with the digest {}, the journal committed {}", step, hex(made->digest), hex(*expected));
    }
    commit();
  }
}

Result<std::optional<NextState>> Supervisor::make(std::uint64_t step) {
  staff_.set_step(step);
  Json batch;
  batch["do"] = "batch";
  batch["state"] = committed_;
  batch["area"] = 0;
  TRY(keep_on(batch, fmt::format("the samples of step {}", step)));
  begin_parts(step);
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
    std::vector<Proposed> proposals;
    for (const Part& part : parts_) {
      if (poisoned_.empty()) proposals.push_back(*part.standing);
    }
    order["proposals"] = to_json(proposals);
    Result<Json> done = keep(std::move(order));
    if (!done.ok()) {
      if (done.error().kind != ErrorKind::world) return done.error();
      fault(fmt::format("the keeper could not make the state: {}", done.error().message));
      return std::optional<NextState>();  // with fresh samples
    }
    TRY_ASSIGN(Made made, made_from(*done));
    if (made.doubts.empty()) {
      // Not before: as long as the whole is not judged, the samples may be at fault.
      for (const Part& part : parts_) {
        if (!part.standing) continue;
        for (const int worker : decide(part.attempts, devices(), part.proof).quarantine) quarantine(worker, part.attempts);
      }
      made_ = to;
      NextState next{step, state_digest(task_.digests(staff_.state(to))), std::move(made.facts), !poisoned_.empty(), poisoned_};
      if (next.skipped) {
        ++counters_["skipped"];
        if (next.facts.value("skipped_in_a_row", std::uint64_t{0}) > options_.skipped_in_a_row_max) {
          waiting_ = fmt::format(
              "step {}: {} steps in a row left their batch out, the last because {}, and the trusted CPU finds the same. The training has "
              "diverged, or the data are not what they should be: lower [optimizer] lr, lengthen its warm-up, or look at the data",
              step, options_.skipped_in_a_row_max, poisoned_);
          record(true);
          return world_error("waiting for its owner: {}", waiting_);
        }
      }
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
  for (const auto& [since, what] : open_faults_) {
    lost_s_ += now - since;
    recoveries_.push_back({task_.step(staff_.state(committed_)), what, now - since});
    if (recoveries_.size() > 1000) recoveries_.pop_front();
  }
  open_faults_.clear();
  rung_.clear();
  for (Worker& worker : workers_) {
    if (worker.aside && task_.step(staff_.state(committed_)) >= worker.aside_until) {
      worker.aside = false;  // perhaps it has recovered
      worker.seconds.clear();
    }
  }
  record();
}

// ---- Parts ----

void Supervisor::begin_parts(std::uint64_t step) {
  parts_.clear();
  poisoned_.clear();
  for (Worker& worker : workers_) worker.part = -1;
  const RandomStream random(secret_[1], Purpose::check, step);
  for (std::int64_t first = 0; first < sizes_.samples; first += part_samples_) {
    Part part;
    part.first = first;
    part.count = std::min(part_samples_, sizes_.samples - first);
    const bool sampled = options_.verify == CrewOptions::Verify::inline_checks && random.f64(parts_.size()) < options_.replay_share;
    if (options_.verify == CrewOptions::Verify::dual || sampled) part.proof = Proof::again;
    parts_.push_back(std::move(part));
  }
}

bool Supervisor::all_stand() const {
  return std::ranges::all_of(parts_, [](const Part& part) { return part.standing.has_value(); });
}

Result<void> Supervisor::propose(std::uint64_t step) {
  while (true) {
    for (std::size_t i = 0; i < parts_.size() && poisoned_.empty(); ++i) advance(i, step);
    if (!poisoned_.empty()) {
      // Whoever still computes is told not to bother; what it answers is not heard.
      for (Part& part : parts_) {
        if (part.running != nullptr) part.running->cell->wanted.store(part.running->order + 1);
      }
      for (Worker& worker : workers_) worker.part = -1;
      return {};
    }
    if (all_stand()) return {};
    attend(wait_ms);
    if (options_.interrupted()) return stopped();
  }
}

std::vector<Device> Supervisor::devices() const {
  std::vector<Device> devices;
  for (std::size_t w = 0; w < workers_.size(); ++w) {
    const bool trusted = w + 1 == workers_.size();
    const Post& post = const_cast<Staff&>(staff_).worker(static_cast<int>(w));
    const bool usable = workers_[w].quarantined.empty() && !workers_[w].aside && post.failures < 4;
    devices.push_back({static_cast<int>(w), trusted, trusted || usable});
  }
  return devices;
}

Post* Supervisor::candidate(const Decision& decision) {
  if (decision.rung == Rung::run_trusted) {
    Post& post = staff_.trusted();
    post.wanted = true;
    return post.state == Post::State::idle ? &post : nullptr;
  }
  for (const Device& device : devices()) {
    Post& post = staff_.worker(device.worker);
    if (device.trusted || !device.usable || post.state != Post::State::idle) continue;
    if (decision.rung == Rung::run_here && device.worker != decision.here) continue;
    if (decision.rung == Rung::run_elsewhere && std::ranges::find(decision.not_there, device.worker) != decision.not_there.end()) continue;
    return &post;
  }
  return nullptr;
}

void Supervisor::advance(std::size_t index, std::uint64_t step) {
  Part& part = parts_[index];
  if (part.running != nullptr || part.standing) return;
  const std::vector<Device> there = devices();
  const Decision decision = decide(part.attempts, there, part.proof);
  if (decision.rung == Rung::accept) {
    if (!decision.why.empty()) log_warning("step {}, part {}: {}", step, index, decision.why);
    const Attempt& attempt = part.attempts[decision.attempt];
    part.standing = Proposed{attempt.worker, static_cast<int>(index), part.first, part.count, attempt.checksum};
    return;
  }
  if (decision.rung == Rung::poison) {
    poisoned_ = decision.why;
    rung_ = rung_name(decision.rung);
    return;
  }
  if (Post* post = candidate(decision)) {
    if (!decision.why.empty()) {
      rung_ = rung_name(decision.rung);
      log_warning("step {}, part {}: {}; {}{}", step, index, decision.why, rung_name(decision.rung),
                  post->trusted ? "" : fmt::format(" (worker {})", post->number));
    }
    give(*post, index, step);
  }
}

void Supervisor::give(Post& post, std::size_t index, std::uint64_t step) {
  Part& part = parts_[index];
  Worker& worker = workers_[static_cast<std::size_t>(post.number)];
  if (!part.attempts.empty()) ++counters_[part.proof == Proof::again && part.attempts.size() == 1 ? "confirmations" : "replays"];
  Order order;
  order.state = committed_;
  order.state_changed = worker.followed != version_ || worker.distrust;
  order.area = 0;
  order.first = part.first;
  order.count = part.count;
  order.slot = static_cast<int>(index);
  order.step = step;
  const RandomStream random(secret_[0], Purpose::check, step);
  order.key[0] = random.u64(2 * attempts_);
  order.key[1] = random.u64(2 * attempts_ + 1);
  ++attempts_;
  worker.followed = version_;
  worker.distrust = false;
  worker.part = static_cast<int>(index);
  part.running = &post;
  part.began_at = monotonic_seconds();
  Json json = to_json(order);
  json["do"] = "propose";
  staff_.order(post, std::move(json));
}

void Supervisor::answered(Post& post, const Json& content) {
  Worker& worker = workers_[static_cast<std::size_t>(post.number)];
  Part& part = parts_[static_cast<std::size_t>(worker.part)];
  worker.part = -1;
  part.running = nullptr;
  Attempt attempt{post.number, post.trusted, Outcome::clean, false, {}, {}};
  const auto error = error_from(content);
  const Result<Answer> answer = error ? Result<Answer>(*error) : answer_from(content);
  if (!answer.ok()) {
    attempt.outcome = answer.error().kind == ErrorKind::stopped ? Outcome::killed : Outcome::broken;
    attempt.why = answer.error().message;
    if (attempt.outcome == Outcome::broken) fault(fmt::format("{}: {}", post.name(), attempt.why));
  } else {
    attempt.checksum = answer->checksum;
    worker.checked = answer->checked;
    worker.samples += part.count;
    if (answer->finding_count > 0) {
      attempt.outcome = Outcome::doubtful;
      attempt.why = finding_text(*answer);
      counters_["findings"] += static_cast<std::uint64_t>(answer->finding_count);
      worker.distrust = true;
      fault(fmt::format("{}: {}", post.name(), attempt.why));
    } else {
      const bool differs = std::ranges::any_of(
          part.attempts, [&](const Attempt& other) { return other.outcome == Outcome::clean && !(other.checksum == attempt.checksum); });
      if (differs) {
        ++counters_["findings"];
        worker.distrust = true;
        fault(fmt::format("{} answered other bits than before", post.name()));
      }
      note_slow(post.number, (monotonic_seconds() - part.began_at) / static_cast<double>(part.count));
    }
  }
  part.attempts.push_back(std::move(attempt));
}

void Supervisor::doubt(const Doubt& doubt) {
  fault(doubt.what);
  counters_["findings"] += doubt.proposals.size();
  for (const int index : doubt.proposals) {
    if (index < 0 || static_cast<std::size_t>(index) >= parts_.size()) continue;
    Part& part = parts_[static_cast<std::size_t>(index)];
    if (!part.standing) continue;
    for (Attempt& attempt : part.attempts) {
      if (attempt.outcome != Outcome::clean || !(attempt.checksum == part.standing->checksum)) continue;
      // What was spoilt in transit concerns this proposal alone; numbers in doubt concern everyone who made them.
      if (!doubt.samples && attempt.worker != part.standing->worker) continue;
      attempt.outcome = Outcome::doubtful;
      attempt.judged = doubt.samples;
      attempt.why = doubt.what;
      workers_[static_cast<std::size_t>(attempt.worker)].distrust = true;
    }
    part.standing.reset();
  }
}

void Supervisor::quarantine(int number, std::span<const Attempt> attempts) {
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  if (!worker.quarantined.empty()) return;
  worker.quarantined = "its answers differ from the trusted CPU's, again and again";
  for (const Attempt& attempt : attempts) {
    if (attempt.worker == number && !attempt.why.empty()) worker.quarantined = attempt.why;
  }
  name(number);
  ++counters_["quarantined"];
  rung_ = "quarantine";
  log_warning("worker {} is quarantined: its error came again, and not elsewhere: {}", number, worker.quarantined);
  staff_.dismiss(staff_.worker(number));
  const bool any = std::ranges::any_of(devices(), [](const Device& d) { return d.usable && !d.trusted; });
  if (!any) log_warning("no other device is left: the trusted CPU goes on alone");
}

void Supervisor::name(int number) {
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  if (!worker.named_at) worker.named_at = task_.step(staff_.state(committed_)) + 1;
}

void Supervisor::note_slow(int number, double seconds_per_sample) {
  constexpr std::size_t remembered = 5;
  constexpr double much_slower = 3;
  constexpr std::uint64_t aside_steps = 64;
  std::deque<double>& own = workers_[static_cast<std::size_t>(number)].seconds;
  own.push_back(seconds_per_sample);
  if (own.size() > remembered) own.pop_front();
  if (own.size() < remembered || number == options_.workers) return;
  const auto median = [](std::deque<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  };
  std::vector<double> others;
  for (int w = 0; w < options_.workers; ++w) {
    const Worker& worker = workers_[static_cast<std::size_t>(w)];
    if (w != number && worker.seconds.size() == remembered && worker.quarantined.empty() && !worker.aside)
      others.push_back(median(worker.seconds));
  }
  if (others.empty()) return;
  const double fastest = *std::ranges::min_element(others);
  if (median(own) < much_slower * fastest) return;
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  worker.aside = true;
  worker.aside_until = task_.step(staff_.state(committed_)) + aside_steps;
  name(number);
  ++counters_["slow"];
  rung_ = "fewer workers";
  log_warning("worker {} takes {:.1f} times as long as the fastest other one: it is left aside for {} steps", number, median(own) / fastest,
              aside_steps);
}

// ---- Everything that happens ----

void Supervisor::fault(const std::string& what) {
  ++counters_["faults"];
  recorded_at_ = 0;  // told at once: the next fault may be this process's own
  open_faults_.emplace_back(monotonic_seconds(), what);
  log_warning("{}", what);
}

void Supervisor::attend(int milliseconds) {
  std::vector<int> also;
  if (waited_for_ >= 0) also.push_back(waited_for_);
  if (writer_) also.push_back(writer_->descriptor());
  for (const Event& event : staff_.attend(milliseconds, also)) happened(event);
  if (writer_) {
    if (const auto ending = writer_->ending()) writer_ended(*ending);
  }
  record();
}

void Supervisor::happened(const Event& event) {
  Post& post = *event.post;
  const bool keeper = post.role == Role::keeper;
  if (event.kind == Event::Kind::ended) {
    if (post.wanted) {
      ++counters_["respawns"];
      fault(fmt::format("{}: {}", post.name(), event.why));
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

// ---- Evaluation ----

void Supervisor::evaluated(Chunk& chunk, const Json& content) {
  const Post& post = *chunk.running;
  chunk.running = nullptr;
  const auto error = error_from(content);
  const auto result = error ? Result<WorkerTask::Evaluated>(*error) : evaluated_from(content);
  if (!result.ok()) {
    ++chunk.failures;
    workers_[static_cast<std::size_t>(post.number)].distrust = true;
    fault(fmt::format("{}: {}", post.name(), result.error().message));
    return;
  }
  chunk.sums = result->sums;
  chunk.predictions = result->predictions;
  chunk.done = true;
}

Result<Evaluation> Supervisor::evaluate() {
  chunks_.clear();
  for (Worker& worker : workers_) worker.part = -1;
  for (std::int64_t first = 0; first < sizes_.validation; first += sizes_.pass)
    chunks_.emplace_back(first, std::min(sizes_.pass, sizes_.validation - first));
  while (!std::ranges::all_of(chunks_, &Chunk::done)) {
    for (Chunk& chunk : chunks_) {
      if (chunk.done || chunk.running != nullptr) continue;
      Decision decision;
      const bool any = std::ranges::any_of(devices(), [](const Device& d) { return d.usable && !d.trusted; });
      decision.rung = any && chunk.failures < 3 ? Rung::run_anywhere : Rung::run_trusted;
      Post* post = candidate(decision);
      if (post == nullptr) break;
      Worker& worker = workers_[static_cast<std::size_t>(post->number)];
      Json fill;
      fill["do"] = "validation";
      fill["first"] = chunk.first;
      fill["count"] = chunk.count;
      fill["area"] = post->number + 1;
      TRY(keep_on(fill, "the samples for validation"));
      if (post->state != Post::State::idle) break;  // it ended meanwhile
      Order order;
      order.state = committed_;
      order.state_changed = worker.followed != version_ || worker.distrust;
      order.area = static_cast<std::size_t>(post->number) + 1;
      order.count = chunk.count;
      order.step = task_.step(staff_.state(committed_));
      const RandomStream random(secret_[0], Purpose::check, order.step);
      order.key[0] = random.u64(2 * attempts_);
      order.key[1] = random.u64(2 * attempts_ + 1);
      ++attempts_;
      worker.followed = version_;
      worker.distrust = false;
      chunk.running = post;
      Json json = to_json(order);
      json["do"] = "evaluate";
      staff_.order(*post, std::move(json));
    }
    if (std::ranges::all_of(chunks_, &Chunk::done)) break;
    attend(wait_ms);
    if (options_.interrupted()) {
      for (Chunk& chunk : chunks_) chunk.running = nullptr;
      return stopped();
    }
  }
  Evaluation evaluation;
  double sum = 0;
  for (const Chunk& chunk : chunks_) {
    for (const double each : chunk.sums) sum += each;
    evaluation.predictions += chunk.predictions;
  }
  chunks_.clear();
  if (evaluation.predictions > 0) evaluation.loss = sum / static_cast<double>(evaluation.predictions);
  return evaluation;
}

// ---- Checkpoints ----

Result<bool> Supervisor::checkpoint(const store::Retention& retention, bool wait) {
  const std::uint64_t step = task_.step(staff_.state(committed_));
  while (writer_ && wait) attend(wait_ms);
  if (checkpointed_ == step) return true;
  if (writer_) return false;
  for (int tries = 0;; ++tries) {
    TRY(begin_writing(step, retention));
    if (!wait) return true;
    while (writer_) attend(wait_ms);
    if (checkpointed_ == step) return true;
    // A writer that was killed says nothing of the disk.
    if (write_error_kind_ != ErrorKind::stopped || tries == 5) return world_error("{}", write_error_);
  }
}

Result<void> Supervisor::begin_writing(std::uint64_t step, const store::Retention& retention) {
  TRY_ASSIGN(auto ends, Link::create());
  writer_link_ = std::move(ends.first);
  Link theirs = std::move(ends.second);
  writing_state_ = committed_;
  writing_step_ = step;
  TRY_ASSIGN(writer_, staff_.fork_helper("godwit writer", [&]() -> int {
    DiskFaults disk(options_.checkpoints);
    const Point point{Role::supervisor, -1, step, Phase::writing, {}, true};
    if (options_.faults) disk.strike(*options_.faults, options_.faults->pass(point), point);
    std::byte* state = staff_.state(writing_state_);
    Result<void> written = store::write_checkpoint(options_.checkpoints, step, task_.list(state), task_.digests(state), task_.profile());
    if (written.ok()) written = store::apply_retention(options_.checkpoints, retention);
    if (!written.ok()) (void)theirs.send(encode_frame({1, 1, error_json(written.error())}));
    return written.ok() ? 0 : 1;
  }));
  return {};
}

void Supervisor::writer_ended(const Ending& ending) {
  if (ending.kind == Ending::Kind::left && ending.code == 0) {
    checkpointed_ = writing_step_;
  } else {
    write_error_ = fmt::format("the writer {}", ending.text());
    write_error_kind_ = ErrorKind::stopped;
    if (auto said = writer_link_.receive(false); said.ok() && said->has_value()) {
      if (const auto frame = decode_frame(**said); frame.ok()) {
        write_error_ = frame->content.value("error", write_error_);
        write_error_kind_ = ErrorKind::world;
      }
    }
    ++counters_["checkpoints_failed"];
    log_warning("checkpoint {} was not written: {}; going on, the newest one is {}", writing_step_, write_error_,
                checkpointed_ ? std::to_string(*checkpointed_) : "none");
  }
  writer_.reset();
  writer_link_.close();
}

// ---- guard.json ----

void Supervisor::recall() {
  const auto text = options_.record.empty() ? Result<std::string>(std::string()) : read_file(options_.record, 1 << 24);
  if (!text.ok()) return;
  const auto json = parse_json(*text, "guard.json");
  if (!json.ok()) return;
  for (const char* name : counter_names) {
    const Json* counted = json->find(name);
    if (counted != nullptr && counted->is_number_unsigned()) counters_[name] = counted->get<std::uint64_t>();
  }
}

void Supervisor::record(bool now) {
  if (options_.record.empty()) return;
  const double time = monotonic_seconds();
  if (!now && time - recorded_at_ < record_every_s) return;
  recorded_at_ = time;
  Json json;
  json["state"] = waiting_.empty() ? "running" : "waiting";
  if (!waiting_.empty()) json["waiting_for"] = waiting_;
  if (!rung_.empty()) json["rung"] = rung_;
  json["step"] = staff_.keeper().cell != nullptr && version_ > 1 ? task_.step(staff_.state(committed_)) : 0;
  counters_["resends"] += staff_.resends() - resends_counted_;
  resends_counted_ = staff_.resends();
  for (const char* name : counter_names) json[name] = counters_[name];
  const double all = time - began_at_;
  json["goodput"] = all <= 0 ? 1.0 : std::max(0.0, 1 - lost_s_ / all);
  Json workers = Json::array();
  for (Post& post : staff_.posts()) {
    Json each;
    each["pid"] = post.child ? Json(post.child->pid()) : Json(nullptr);
    if (post.role == Role::keeper) {
      each["cpu_s"] = post.cpu_all_s();
      json["keeper"] = std::move(each);
      continue;
    }
    const Worker& worker = workers_[static_cast<std::size_t>(post.number)];
    if (post.trusted && !post.child && worker.samples == 0) continue;
    each["number"] = post.number;
    each["device"] = post.trusted ? "trusted " + post.device : post.device;
    static constexpr const char* states[] = {"absent", "starting", "idle", "busy"};
    each["state"] = !worker.quarantined.empty() ? "quarantined" : worker.aside ? "aside" : states[static_cast<std::size_t>(post.state)];
    if (!worker.quarantined.empty()) each["quarantined_because"] = worker.quarantined;
    if (!post.trouble.empty()) each["trouble"] = post.trouble;
    if (worker.named_at) each["named_at"] = *worker.named_at;
    each["samples"] = worker.samples;
    each["checked"] = worker.checked;
    each["cpu_s"] = post.cpu_all_s();
    each["unconfined"] = Json(post.unconfined);
    workers.push_back(std::move(each));
  }
  json["workers"] = std::move(workers);
  Json recoveries = Json::array();
  for (const Recovery& recovery : recoveries_) {
    Json each;
    each["step"] = recovery.step;
    each["fault"] = recovery.what;
    each["seconds"] = recovery.seconds;
    recoveries.push_back(std::move(each));
  }
  json["recoveries"] = std::move(recoveries);
  (void)replace_file(options_.record, write_json(json) + "\n");
}

std::unique_ptr<Crew> make_supervisor(Task& task, const CrewOptions& options) {
  return std::make_unique<Supervisor>(task, options);
}

}  // namespace godwit::guard
