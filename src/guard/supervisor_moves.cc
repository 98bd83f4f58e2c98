// Moving workers elsewhere while the run goes on: docs/moving.md tells what each stage proves, and what a death in it leads to.
#include "guard/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "device/backends.h"
#include "guard/messages.h"

namespace godwit::guard {

namespace {

constexpr double least_patience_s = 1;  // for those who compare while the run stands still; or two steps
constexpr int failures_lost = 4;        // processes in a row that carried out nothing
constexpr const char* stage_names[] = {"preparing", "prepared", "proving", "proven", "comparing"};

std::string workers_text(const std::vector<int>& workers) {
  return fmt::format("{} {}", workers.size() == 1 ? "worker" : "workers", fmt::join(workers, ", "));
}

}  // namespace

std::vector<Place> Supervisor::places() const {
  std::vector<Place> places;
  for (const Placement::Seat& seat : options_.placement.workers) places.push_back(seat.place);
  return places;
}

// ---- Begin ----

bool Supervisor::may_begin_move() const {
  if (move_) return false;
  for (int w = 0; w < options_.workers; ++w) {
    if (staff_.candidate(w).child) return false;  // of the move before; it ends now
  }
  return true;
}

void Supervisor::look_for_request() {
  std::error_code ignored;
  const fs::path& path = options_.move_request;
  if (path.empty() || !may_begin_move() || !fs::exists(path, ignored)) return;
  Result<std::optional<MoveRequest>> request = read_move_request(path);
  const bool closed = request.ok() && *request &&
                      std::ranges::find(options_.placement.moves, (*request)->id, &EndedMove::id) != options_.placement.moves.end();
  if (!request.ok()) log_warning("{}; nobody is moved, and it is taken away", request.error().message);
  if (!request.ok() || closed) return (void)remove_tree(path);
  if (*request && (*request)->id != closed_request_) begin_move(**std::move(request));
}

void Supervisor::begin_move(MoveRequest request) {
  if (request.workers.empty()) {
    for (int w = 0; w < options_.workers; ++w) request.workers.push_back(w);
  }
  move_.emplace();
  move_->request = request;
  move_->began_at = monotonic_seconds();
  for (const int w : request.workers) {
    if (w < 0 || w >= options_.workers)
      return abort_move(false, fmt::format("there is no worker {}, there are 0 to {}", w, options_.workers - 1));
  }
  if (const auto known = device::backend_place(request.to.backend); !known.ok()) return abort_move(false, known.error().message);
  std::erase_if(move_->request.workers, [&](int w) { return options_.placement.workers[static_cast<std::size_t>(w)].place == request.to; });
  if (move_->request.workers.empty()) {
    move_->request.workers = request.workers;
    return abort_move(false, fmt::format("{} sit there already", workers_text(request.workers)));
  }
  log_info("{} {} to be moved to {}: candidates come up there", workers_text(move_->request.workers),
           move_->request.workers.size() == 1 ? "is" : "are", request.to.text());
  for (const int w : move_->request.workers) {
    move_->candidates.push_back({.worker = w});
    staff_.invite(w, request.to);
  }
  record(true);
}

void Supervisor::move_to_spare() {
  if (options_.spares.empty() || !may_begin_move()) return;
  const auto lost = [&](int w) {
    return !workers_[static_cast<std::size_t>(w)].quarantined.empty() || staff_.worker(w).failures >= failures_lost;
  };
  const std::vector<Place> where = places();
  for (const Place& place : where) {
    std::vector<int> there;
    for (int w = 0; w < options_.workers; ++w) {
      if (where[static_cast<std::size_t>(w)].backend == place.backend) there.push_back(w);
    }
    if (!std::ranges::all_of(there, lost)) continue;
    for (const Place& spare : options_.spares) {
      if (spare.backend == place.backend || std::ranges::find(tried_spares_, spare) != tried_spares_.end()) continue;
      tried_spares_.push_back(spare);
      rung_ = "move to another backend";
      log_warning("{}, all on {}, cannot be had or are not believed in: moving to {}", workers_text(there), place.backend, spare.text());
      return begin_move({.id = "", .to = spare, .workers = there});
    }
  }
}

// ---- Prove ----

void Supervisor::candidate_happened(const Event& event) {
  const Post& post = *event.post;
  if (!move_ || !post.candidate || !post.wanted) return;  // one that was replaced, or is not wanted any more
  const auto candidate = std::ranges::find(move_->candidates, post.number, &Move::Candidate::worker);
  if (event.kind == Event::Kind::ended) return abort_move(false, fmt::format("the {}: {}", post.name(), event.why));
  if (event.kind == Event::Kind::ready) {
    const auto idle = [&](const Move::Candidate& each) { return staff_.candidate(each.worker).state == Post::State::idle; };
    if (!std::ranges::all_of(move_->candidates, idle)) return;
    move_->stage = Move::prepared;
    return record(true);
  }
  if (const auto error = error_from(event.content)) return abort_move(false, fmt::format("the {}: {}", post.name(), error->message));
  if (move_->stage == Move::comparing) {
    const auto digest = parse_digest(event.content.value("digest", std::string()));
    if (!digest.ok()) return abort_move(true, fmt::format("the {}: {}", post.name(), digest.error().message));
    candidate->digest = *digest;
    return;
  }
  const Result<Answer> answer = answer_from(event.content);
  if (!answer.ok()) return abort_move(true, fmt::format("the {}: {}", post.name(), answer.error().message));
  if (answer->finding_count > 0)
    return abort_move(true, fmt::format("the {}: {} of its results are in doubt by its own checks", post.name(), answer->finding_count));
  candidate->made = answer->checksum;
  compare_parts();
}

Result<void> Supervisor::prove_candidates(std::uint64_t step) {
  if (!move_ || !poisoned_.empty() || trusted_alone_) return {};
  if (move_->stage == Move::proving) {
    // The step that they made did not come out as it was begun.
    const auto answered = [](const Move::Candidate& each) { return each.made.has_value(); };
    if (std::ranges::all_of(move_->candidates, answered)) move_->stage = Move::prepared;
  }
  if (move_->stage != Move::prepared) return {};
  const double began = monotonic_seconds();
  Json batch;
  batch["do"] = "batch";
  batch["state"] = committed_;
  batch["area"] = staff_.candidates_area();
  TRY_ASSIGN(const Json done, keep_on(batch, fmt::format("the samples of step {}", step)));
  TRY_ASSIGN(const Drawn drawn, drawn_from(done));
  if (!move_ || !drawn.lacks.empty()) return {};
  move_->stage = Move::proving;
  move_->state = committed_;
  move_->step = step;
  for (std::size_t i = 0; i < move_->candidates.size(); ++i) {
    Move::Candidate& each = move_->candidates[i];
    const Part& part = parts_[i % parts_.size()];
    each = {.worker = each.worker, .part = i % parts_.size(), .first = part.first, .count = part.count};
    Order order = order_of(staff_.candidates_area(), part.first, part.count, step);
    order.slot = static_cast<int>(each.part);
    Json json = to_json(order);
    json["do"] = prove;
    staff_.order(staff_.candidate(each.worker), std::move(json));
  }
  move_->paused_s += monotonic_seconds() - began;
  record(true);
  return {};
}

void Supervisor::note_parts() {
  if (!move_ || move_->stage != Move::proving || !poisoned_.empty() || task_.step(staff_.state(committed_)) + 1 != move_->step) return;
  for (Move::Candidate& each : move_->candidates) {
    const Part* part = each.part < parts_.size() ? &parts_[each.part] : nullptr;
    if (part != nullptr && part->first == each.first && part->count == each.count) each.expected = part->standing->checksum;
  }
  compare_parts();
}

void Supervisor::compare_parts() {
  for (const Move::Candidate& each : move_->candidates) {
    if (!each.made || !each.expected) return;
  }
  for (const Move::Candidate& each : move_->candidates) {
    if (*each.made == *each.expected) continue;
    return abort_move(
        true, fmt::format("the {} made samples {} to {} of step {} with other bits (XXH3 {}, where those who made the step had {})",
                          staff_.candidate(each.worker).name(), each.first, each.first + each.count - 1, move_->step, hex(*each.made),
                          hex(*each.expected)));
  }
  move_->stage = Move::proven;
  record(true);
}

// ---- Hand over ----

Result<void> Supervisor::go_on_moving() {
  move_to_spare();
  if (!move_ || move_->stage != Move::proven) return {};
  return hand_over();
}

Result<void> Supervisor::hand_over() {
  const double began = monotonic_seconds(), patience = std::max(least_patience_s, 2 * step_s_);
  const std::uint64_t step = task_.step(staff_.state(committed_));
  move_->stage = Move::comparing;
  record(true);
  for (const Move::Candidate& each : move_->candidates) {
    Json json = to_json(order_of(0, 0, 0, step));
    json["do"] = read_back;
    staff_.order(staff_.candidate(each.worker), std::move(json));
  }
  const auto answered = [](const Move::Candidate& each) { return each.digest.has_value(); };
  while (move_ && !std::ranges::all_of(move_->candidates, answered)) {
    attend(wait_ms);
    if (options_.interrupted()) return stopped();  // the request stays
    if (move_ && monotonic_seconds() - began > patience)
      abort_move(false, fmt::format("it did not give the state back within {:.1f} s, while the run stood still", patience));
  }
  if (!move_) return {};
  const Digest committed = state_digest(task_.digests(staff_.state(committed_)));
  for (const Move::Candidate& each : move_->candidates) {
    if (*each.digest == committed) continue;
    abort_move(true, fmt::format("the {} does not hold the state of step {}: read back, it has the digest {}, committed is {}",
                                 staff_.candidate(each.worker).name(), step, hex(*each.digest), hex(committed)));
    return {};
  }
  pass(Phase::moving, step);
  const MoveRequest& request = move_->request;
  Placement next = options_.placement;
  for (const Move::Candidate& each : move_->candidates) next.workers[static_cast<std::size_t>(each.worker)] = {request.to, step + 1};
  const auto paused = [&] { return monotonic_seconds() - began + move_->paused_s; };
  next.moves.push_back({.id = request.id,
                        .to = request.to,
                        .workers = request.workers,
                        .moved = true,
                        .step = step + 1,
                        .seconds = monotonic_seconds() - move_->began_at,
                        .pause_s = paused()});
  // From here on they sit there, whatever happens to whom.
  if (const auto written = write_placement(options_.placement_record, next); !written.ok()) {
    abort_move(false, fmt::format("it cannot be recorded: {}", written.error().message));
    return {};
  }
  pass(Phase::moved, step);
  options_.placement = std::move(next);
  for (const Move::Candidate& each : move_->candidates) {
    note(staff_.worker(each.worker), Noted::moved_from, "");
    staff_.seat(each.worker);
    note(staff_.worker(each.worker), Noted::moved_to, "");
    Worker& worker = workers_[static_cast<std::size_t>(each.worker)];
    const Worker before = std::exchange(worker, Worker());
    worker.samples = before.samples;
    worker.named_at = before.named_at;
  }
  EndedMove& ended = options_.placement.moves.back();
  ended.pause_s = paused();
  ++counters_["moves"];
  recoveries_.push_back({step + 1, fmt::format("{} moved to {}", workers_text(ended.workers), ended.to.text()), ended.pause_s});
  told_moves_.push_back(fmt::format("{} to {} from step {} on", workers_text(ended.workers), ended.to.text(), ended.step));
  log_info("{} moved to {}: from step {} on; the run stood still for {:.3f} s", workers_text(ended.workers), ended.to.text(), ended.step,
           ended.pause_s);
  close_request();
  return {};
}

void Supervisor::abort_move(bool differs, std::string why) {
  for (const Move::Candidate& each : move_->candidates) {
    Post& post = staff_.candidate(each.worker);
    if (differs) note(post, Noted::refused, why);
    staff_.dismiss(post);
  }
  const MoveRequest& request = move_->request;
  log_warning("{} not moved to {}: {}. The run goes on where it was", workers_text(request.workers), request.to.text(), why);
  if (differs) ++counters_["findings"];
  ++counters_["moves_refused"];
  options_.placement.moves.push_back({.id = request.id,
                                      .to = request.to,
                                      .workers = request.workers,
                                      .differs = differs,
                                      .why = std::move(why),
                                      .seconds = monotonic_seconds() - move_->began_at,
                                      .pause_s = move_->paused_s});
  if (const auto written = write_placement(options_.placement_record, options_.placement); !written.ok())
    log_warning("how the move ended cannot be recorded: {}", written.error().message);
  close_request();
}

// It is in the record how it ended.
void Supervisor::close_request() {
  closed_request_ = move_->request.id;
  if (!closed_request_.empty()) {
    if (const auto removed = remove_tree(options_.move_request); !removed.ok()) log_warning("{}", removed.error().message);
  }
  move_.reset();
  record(true);
}

// ---- For those who look on ----

Json Supervisor::move_json() const {
  Json json;
  json["id"] = move_->request.id;
  json["to"] = move_->request.to.text();
  json["workers"] = Json(move_->request.workers);
  json["stage"] = stage_names[move_->stage];
  json["seconds"] = monotonic_seconds() - move_->began_at;
  Json candidates = Json::array();
  for (const Move::Candidate& each : move_->candidates) {
    const Post& post = staff_.candidate(each.worker);
    candidates.push_back({{"worker", each.worker}, {"pid", post.child ? Json(post.child->pid()) : Json(nullptr)}, {"device", post.device}});
  }
  json["candidates"] = std::move(candidates);
  return json;
}

}  // namespace godwit::guard
