// A step's parts on their way through the ladder, and who computes them. Samples for validation go the same way, without the ladder's
// proofs.
#include "guard/supervisor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "base/clock.h"
#include "base/log.h"
#include "base/random.h"
#include "guard/messages.h"

namespace godwit::guard {

namespace {

constexpr double tried_again_after_s = 5;

std::string finding_text(const Answer& answer) {
  if (answer.findings.empty()) return fmt::format("{} results in doubt", answer.finding_count);
  const device::Finding& f = answer.findings[0];
  return fmt::format("{} in doubt, the first {} of op {} {} of {}: row {} is off by {:.3g} where rounding explains {:.3g}",
                     answer.finding_count, f.tensor, f.index, f.op, f.program, f.row, f.difference, f.bound);
}

}  // namespace

// ---- Parts ----

void Supervisor::begin_parts(std::uint64_t step, bool question) {
  question_ = question;
  parts_.clear();
  poisoned_.clear();
  for (Worker& worker : workers_) worker.part = -1;
  const RandomStream random(secret_[1], Purpose::check, step);
  // For those that can be had: fewer, larger parts cost less. There are slots for the parts of all workers.
  const auto usable = std::ranges::count_if(devices(), [](const Device& device) { return device.usable && !device.trusted; });
  const std::int64_t samples = std::max(part_samples_, part_samples(sizes_.samples, static_cast<int>(usable)));
  for (std::int64_t first = 0; first < sizes_.samples; first += samples) {
    Part part;
    part.first = first;
    part.count = std::min(samples, sizes_.samples - first);
    const bool sampled = options_.verify == CrewOptions::Verify::inline_checks && random.f64(parts_.size()) < options_.replay_share;
    if (options_.verify == CrewOptions::Verify::dual || sampled) part.proof = Proof::again;
    parts_.push_back(std::move(part));
  }
}

std::vector<Proposed> Supervisor::standing() const {
  std::vector<Proposed> proposals;
  for (const Part& part : parts_) {
    if (!poisoned_.empty()) continue;
    proposals.push_back(*part.standing);
    proposals.back().worker = staff_.worker(part.standing->worker).slots;
  }
  return proposals;
}

double Supervisor::longest_writing() const {
  double longest = 0;
  for (const Part& part : parts_) longest = std::max(longest, part.writing_s);
  return longest;
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
    const Post& post = staff_.worker(static_cast<int>(w));
    // A worker that is killed again and again is no worse a device, but nothing can wait for it: only now and then it is tried again.
    const bool comes_and_goes = post.killed_in_a_row >= killed_in_a_row_max && monotonic_seconds() - post.ended_at < tried_again_after_s;
    const bool usable = !trusted_alone_ && workers_[w].quarantined.empty() && !workers_[w].aside && post.failures < 4 && !comes_and_goes;
    devices.push_back({static_cast<int>(w), trusted, trusted || usable});
  }
  return devices;
}

Post* Supervisor::taker(const Decision& decision) {
  if (decision.rung == Rung::run_trusted) {
    Post& post = staff_.trusted();
    post.wanted = true;
    return post.state == Post::State::idle ? &post : nullptr;
  }
  Post* best = nullptr;  // whose process lived longest
  for (const Device& device : devices()) {
    Post& post = staff_.worker(device.worker);
    if (device.trusted || !device.usable || post.state != Post::State::idle) continue;
    if (decision.rung == Rung::run_here && device.worker != decision.here) continue;
    if (decision.rung == Rung::run_elsewhere && std::ranges::find(decision.not_there, device.worker) != decision.not_there.end()) continue;
    if (best == nullptr || post.killed_in_a_row < best->killed_in_a_row) best = &post;
  }
  return best;
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
  if (Post* post = taker(decision)) {
    if (!decision.why.empty()) {
      rung_ = rung_name(decision.rung);
      log_warning("step {}, part {}: {}; {}{}", step, index, decision.why, rung_name(decision.rung),
                  post->trusted ? "" : fmt::format(" (worker {})", post->number));
    }
    give(*post, index, step);
  }
}

Order Supervisor::order_of(std::size_t area, std::int64_t first, std::int64_t count, std::uint64_t step) {
  Order order;
  order.state = committed_;
  order.area = area;
  order.first = first;
  order.count = count;
  order.step = step;
  const RandomStream random(secret_[0], Purpose::check, step);
  order.key[0] = random.u64(2 * attempts_);
  order.key[1] = random.u64(2 * attempts_ + 1);
  ++attempts_;
  return order;
}

void Supervisor::give(Post& post, std::size_t index, std::uint64_t step) {
  Part& part = parts_[index];
  Worker& worker = workers_[static_cast<std::size_t>(post.number)];
  if (!part.attempts.empty()) ++counters_[part.proof == Proof::again && part.attempts.size() == 1 ? "confirmations" : "replays"];
  Order order = order_of(0, part.first, part.count, step);
  order.state_changed = worker.followed != version_ || worker.distrust;
  order.slot = static_cast<int>(index);
  order.question = question_;
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
    part.writing_s = answer->writing_s;
    worker.samples += part.count;
    if (answer->finding_count > 0) {
      attempt.outcome = Outcome::doubtful;
      attempt.why = finding_text(*answer);
      counters_["findings"] += static_cast<std::uint64_t>(answer->finding_count);
      worker.distrust = true;
      note(post, Noted::finding, attempt.why);
      fault(fmt::format("{}: {}", post.name(), attempt.why), monotonic_seconds() - part.began_at);
    } else {
      const bool differs = std::ranges::any_of(
          part.attempts, [&](const Attempt& other) { return other.outcome == Outcome::clean && !(other.checksum == attempt.checksum); });
      if (differs) {
        ++counters_["findings"];
        worker.distrust = true;
        fault(fmt::format("{} answered other bits than before", post.name()));
      }
      const double seconds = monotonic_seconds() - part.began_at;
      note_late(post.number, seconds, post.late);
      if (!question_) note_slow(post.number, seconds, part.count);  // writing and learning take other times
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
      const bool answered = attempt.outcome == Outcome::clean || attempt.outcome == Outcome::doubtful;
      if (!answered || !(attempt.checksum == part.standing->checksum)) continue;
      // What was spoilt in transit concerns this proposal alone; numbers in doubt concern everyone who made them.
      if (!doubt.samples && attempt.worker != part.standing->worker) continue;
      // One that stood although a check disliked it, and was spoilt in transit, says nothing more: it would stand again.
      attempt.outcome = attempt.outcome == Outcome::doubtful && !doubt.samples ? Outcome::killed : Outcome::doubtful;
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
  note(staff_.worker(number), Noted::quarantined, worker.quarantined);
  log_warning("worker {} is quarantined: its error came again, and not elsewhere: {}", number, worker.quarantined);
  staff_.dismiss(staff_.worker(number));
  const bool any = std::ranges::any_of(devices(), [](const Device& d) { return d.usable && !d.trusted; });
  if (!any)
    log_warning("no other device is left: the trusted CPU goes on alone{}", options_.spares.empty() ? "" : " until others are there");
}

void Supervisor::name(int number) {
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  if (!worker.named_at) worker.named_at = task_.step(staff_.state(committed_)) + 1;
}

void Supervisor::note_slow(int number, double seconds, std::int64_t samples) {
  constexpr std::size_t remembered = 5;
  constexpr double much_slower = 3;
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  std::deque<double>& own = worker.seconds;  // a sample
  own.push_back(seconds / static_cast<double>(samples));
  if (own.size() > remembered) own.pop_front();
  if ((own.size() < remembered && !worker.returned) || number == options_.workers) return;
  const auto median = [](std::deque<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
  };
  std::vector<double> others;
  for (int w = 0; w < options_.workers; ++w) {
    const Worker& other = workers_[static_cast<std::size_t>(w)];
    if (w != number && other.seconds.size() == remembered && other.quarantined.empty() && !other.aside)
      others.push_back(median(other.seconds));
  }
  if (others.empty()) return;
  const double fastest = *std::ranges::min_element(others);
  if (median(own) < much_slower * fastest) {
    worker.returned = worker.returned && own.size() < remembered;
    return;
  }
  leave_aside(number, seconds, fmt::format("takes {:.1f} times as long as the fastest other one", median(own) / fastest));
}

// How long a link takes is no matter of how long a step takes: an answer that was asked for again before it came is late, however long its
// samples took.
void Supervisor::note_late(int number, double seconds, bool late) {
  constexpr int late_max = 3;
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  worker.late_in_a_row = late ? worker.late_in_a_row + 1 : 0;
  if (worker.late_in_a_row == 0 || (worker.late_in_a_row < late_max && !worker.returned)) return;
  const std::vector<Device> all = devices();
  const bool another = std::ranges::any_of(all, [&](const Device& d) { return d.usable && !d.trusted && d.worker != number; });
  if (another && number != options_.workers) leave_aside(number, seconds, "has answers that do not come, or come late");
}

// Later it has one answer to show that it has recovered. All the others wait for that one: so long that it costs them a hundredth of their
// time, it is left alone.
void Supervisor::leave_aside(int number, double seconds, const std::string& why) {
  constexpr std::uint64_t aside_steps = 64;
  constexpr double aside_times_as_long = 100;
  Worker& worker = workers_[static_cast<std::size_t>(number)];
  if (worker.aside) return;
  worker.aside = true;
  worker.aside_until = task_.step(staff_.state(committed_)) + aside_steps;
  worker.aside_until_s = monotonic_seconds() + aside_times_as_long * seconds;
  worker.late_in_a_row = 0;
  name(number);
  ++counters_["slow"];
  rung_ = "fewer workers";
  log_warning("worker {} {}: it is left aside for {} steps, {:.0f} s at least", number, why, aside_steps, aside_times_as_long * seconds);
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
  if (result->finding_count > 0) {
    // Equal bits that the trusted CPU gives twice are believed, as the ladder believes them: what is no number is in doubt everywhere.
    const auto same = [](double a, double b) { return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b); };
    const bool twice = post.trusted && chunk.doubted && std::ranges::equal(chunk.sums, result->sums, same);
    if (!twice) {
      ++chunk.failures;
      workers_[static_cast<std::size_t>(post.number)].distrust = true;
      counters_["findings"] += static_cast<std::uint64_t>(result->finding_count);
      fault(fmt::format("{}: {} results of an evaluation are in doubt", post.name(), result->finding_count));
      chunk.doubted = post.trusted;
      chunk.sums = result->sums;
      return;
    }
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
      Post* post = taker(decision);
      if (post == nullptr) break;
      Worker& worker = workers_[static_cast<std::size_t>(post->number)];
      Json fill;
      fill["do"] = "validation";
      fill["first"] = chunk.first;
      fill["count"] = chunk.count;
      fill["area"] = post->number + 1;
      TRY(keep_on(fill, "the samples for validation"));
      if (post->state != Post::State::idle) break;  // it ended meanwhile
      Order order = order_of(static_cast<std::size_t>(post->number) + 1, 0, chunk.count, task_.step(staff_.state(committed_)));
      order.state_changed = worker.followed != version_ || worker.distrust;
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

}  // namespace godwit::guard
