#include "cli/run_status.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/config.h"
#include "base/file.h"
#include "store/checkpoint.h"
#include "store/journal.h"
#include "train/run.h"

namespace godwit::cli {

namespace {

// The last whole line of metrics.jsonl, and the last that was evaluated.
struct LastMetrics {
  Json last;
  Json evaluated;
};

constexpr std::array<std::string_view, 4> shown_metrics{"loss", "lr", "grad_norm", "tokens_per_s"};

// Lines that do not hold these as numbers are damaged, and passed over.
LastMetrics last_metrics(const store::RunDirectory& run) {
  LastMetrics found;
  const auto text = read_file(run.metrics(), std::uint64_t{1} << 34);
  if (!text.ok()) return found;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) break;  // a line being written
    const auto json = parse_json(rest.substr(0, end), "metrics.jsonl");
    const auto is_number = [&](std::string_view key) { return json->value(key, Json()).is_number(); };
    if (json.ok() && std::ranges::all_of(shown_metrics, is_number) && is_number("step")) {
      found.last = *json;
      if (is_number("validation_loss")) found.evaluated = *json;
    }
    rest.remove_prefix(end + 1);
  }
  return found;
}

// What the supervisor tells, as far as it is what it should be: the file is replaced while we look, and a run may have been made by one
// process alone.
void add_guard(const store::RunDirectory& run, bool running, Json& json) {
  json["workers"] = Json::array();
  json["faults"] = 0;
  const auto text = read_file(run.guard(), std::uint64_t{1} << 24);
  if (!text.ok()) return;
  const auto guard = parse_json(*text, "guard.json");
  if (!guard.ok() || !guard->is_object()) return;
  for (const auto& member : guard->items()) {
    if (member.key == "step" || member.key == "state") continue;
    json[member.key] = member.value;
  }
  const Json* state = guard->find("state");
  if (json["state"] != "finished" && state != nullptr && *state == Json("waiting")) json["state"] = "waiting";
  if (running || !json["workers"].is_array()) return;
  for (Json& worker : json["workers"]) {
    if (!worker.is_object()) continue;
    worker["pid"] = nullptr;
    if (worker.value("state", Json()) != Json("quarantined")) worker["state"] = "gone";
  }
}

}  // namespace

Result<Json> status_of(const store::RunDirectory& run) {
  if (!fs::exists(run.config())) return input_error("'{}' is not a run directory: it has no config.toml", run.root.string());
  const auto keys = train::all_config_keys();
  const auto sections = train::open_config_sections();
  TRY_ASSIGN(const Config config, Config::load(run.config(), {}, keys, sections));
  TRY_ASSIGN(const auto holder, LockFile::holder(run.lock()));
  TRY_ASSIGN(const store::Journal::Content journal, store::Journal::read(run.journal()));
  const std::int64_t steps = config.integer("run", "steps");
  Json json;
  const std::uint64_t step = journal.entries.empty() ? 0 : journal.entries.back().step;
  json["state"] = holder ? "running" : static_cast<std::int64_t>(step) >= steps ? "finished" : "stopped";
  json["step"] = step;
  json["steps"] = steps;
  json["digest"] = journal.entries.empty() ? Json(nullptr) : Json(hex(journal.entries.back().digest));
  json["supervisor_pid"] = holder ? Json(holder->process) : Json(nullptr);
  add_guard(run, holder.has_value(), json);
  const LastMetrics metrics = last_metrics(run);
  for (const std::string_view key : shown_metrics) {
    if (metrics.last.contains(key)) json[key] = metrics.last[key];
  }
  if (metrics.evaluated.is_object()) {
    json["validation_loss"] = metrics.evaluated["validation_loss"];
    json["validation_step"] = metrics.evaluated["step"];
  }
  TRY_ASSIGN(const auto best, store::read_best(run));
  if (best) {
    json["best_validation_loss"] = best->validation_loss;
    json["best_step"] = best->step;
  }
  TRY_ASSIGN(const auto checkpoints, store::list_checkpoints(run.checkpoints()));
  json["checkpoints"] = checkpoints;
  return json;
}

}  // namespace godwit::cli
