// What a supervisor leaves on the disk: checkpoints, by a process of their own, and guard.json.
#include "guard/supervisor.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "guard/disk_faults.h"
#include "guard/messages.h"
#include "guard/trust.h"

namespace godwit::guard {

namespace {

constexpr double record_every_s = 0.2;
constexpr const char* counter_names[] = {
    "faults", "replays", "confirmations",       "respawns",           "rollbacks", "quarantined",  "skipped", "findings",
    "slow",   "resends", "checkpoints_refused", "checkpoints_failed", "moves",     "moves_refused"};

}  // namespace

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

void Supervisor::note(const Post& post, Noted what, const std::string& why) {
  const std::string device = post.device.empty() ? post.place.text() : fmt::format("{} {}", post.place.text(), post.device);
  DeviceRecord& record = device_records_[device];
  std::uint64_t* const counts[] = {&record.findings, &record.quarantined, &record.moved_from, &record.moved_to, &record.refused};
  ++*counts[static_cast<std::size_t>(what)];
  if (!why.empty()) record.last = why;
  // What a device's own checks find is not settled against it: it is the run's alone.
  if (!post.identity) return;
  const std::string run = options_.record.parent_path().string();
  if (what == Noted::quarantined) Trust().note_quarantine(*post.identity, run, why);
  if (what == Noted::refused) Trust().note_finding(*post.identity, run, why);
  if (what == Noted::moved_from) Trust().note_moved_away(*post.identity, run, why);
}

Json Supervisor::worker_json(int number) {
  const Post& post = staff_.worker(number);
  const Worker& worker = workers_[static_cast<std::size_t>(number)];
  Json json;
  json["pid"] = post.child ? Json(post.child->pid()) : Json(nullptr);
  json["number"] = number;
  json["place"] = post.place.text();
  if (!post.trusted) json["since"] = options_.placement.workers[static_cast<std::size_t>(number)].since;
  json["device"] = post.trusted ? "trusted " + post.device : post.device;
  static constexpr const char* states[] = {"absent", "starting", "idle", "busy"};
  json["state"] = !worker.quarantined.empty() ? "quarantined" : worker.aside ? "aside" : states[static_cast<std::size_t>(post.state)];
  if (!worker.quarantined.empty()) json["quarantined_because"] = worker.quarantined;
  if (!post.trouble.empty()) json["trouble"] = post.trouble;
  if (worker.named_at) json["named_at"] = *worker.named_at;
  json["samples"] = worker.samples;
  json["checked"] = worker.checked;
  json["cpu_s"] = staff_.cpu_s(number);
  json["unconfined"] = Json(post.unconfined);
  return json;
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
  const Post& keeper = staff_.keeper();
  json["keeper"] = {{"pid", keeper.child ? Json(keeper.child->pid()) : Json(nullptr)}, {"cpu_s", keeper.cpu_all_s()}};
  Json workers = Json::array();
  for (int number = 0; number <= options_.workers; ++number) {
    const Post& post = staff_.worker(number);
    if (post.trusted && !post.child && workers_[static_cast<std::size_t>(number)].samples == 0) continue;
    workers.push_back(worker_json(number));
  }
  json["workers"] = std::move(workers);
  if (move_) json["move"] = move_json();
  Json ended = Json::array();
  for (const EndedMove& move : options_.placement.moves) ended.push_back(to_json(move));
  json["ended_moves"] = std::move(ended);
  Json devices = Json::object();
  for (const auto& [device, record] : device_records_) {
    devices[device] = {{"findings", record.findings}, {"quarantined", record.quarantined}, {"moved_from", record.moved_from},
                       {"moved_to", record.moved_to}, {"refused", record.refused},         {"last", record.last}};
  }
  json["devices"] = std::move(devices);
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

}  // namespace godwit::guard
