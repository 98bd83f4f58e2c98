// godwit status: where a run stands, from its files alone; never disturbs it.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "base/json.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/run_status.h"
#include "store/run_directory.h"

namespace godwit::cli {

namespace {

std::string text_or(const Json& object, std::string_view key, std::string_view otherwise) {
  const Json* found = object.find(key);
  return std::string(found != nullptr && found->is_string() ? std::string_view(found->string()) : otherwise);
}
double number_or_zero(const Json& object, std::string_view key) {
  const Json* found = object.find(key);
  return found != nullptr && found->is_number() ? found->get<double>() : 0;
}

// "opencl:1 since step 17, opencl (…)"
std::string where_text(const Json& worker) {
  const std::string place = text_or(worker, "place", ""), device = text_or(worker, "device", "");
  const double since = number_or_zero(worker, "since");
  std::string text = place;
  if (since > 0) text += fmt::format(" since step {}", since);
  return device.empty() ? text : fmt::format("{}, {}", text, device);
}

std::string worker_numbers(const Json& move) {
  const Json* workers = move.find("workers");
  std::vector<std::string> numbers;
  for (std::size_t i = 0; workers != nullptr && workers->is_array() && i < workers->size(); ++i) {
    if ((*workers)[i].is_number()) numbers.push_back(fmt::format("{}", (*workers)[i].get<int>()));
  }
  return fmt::format("worker{} {}", numbers.size() == 1 ? "" : "s", fmt::join(numbers, ", "));
}

// The move under way, and how the latest ones ended.
std::string moves_text(const Json& s) {
  std::string text;
  if (const Json* move = s.find("move"); move != nullptr && move->is_object()) {
    text += fmt::format("moving {} to {}: {} for {:.1f} s\n", worker_numbers(*move), text_or(*move, "to", "?"),
                        text_or(*move, "stage", "?"), number_or_zero(*move, "seconds"));
  }
  const Json* ended = s.find("ended_moves");
  if (ended == nullptr || !ended->is_array() || ended->empty()) return text;
  constexpr std::size_t shown = 5;
  text += "last moves\n";
  for (std::size_t i = ended->size() - std::min(shown, ended->size()); i < ended->size(); ++i) {
    const Json& each = (*ended)[i];
    const Json* to = each.find("to");
    const std::string where = to == nullptr ? "?" : fmt::format("{}:{}", text_or(*to, "backend", "?"), number_or_zero(*to, "device"));
    const Json* moved = each.find("moved");
    if (moved != nullptr && *moved == Json(true)) {
      text += fmt::format("  {} to {} from step {} on, the run stood still for {:.3f} s\n", worker_numbers(each), where,
                          number_or_zero(each, "step"), number_or_zero(each, "pause_s"));
    } else {
      text += fmt::format("  {} not to {}: {}\n", worker_numbers(each), where, text_or(each, "why", ""));
    }
  }
  return text;
}

// Workers, what went wrong and what it took to go on.
std::string guard_text(const Json& s) {
  std::string text;
  if (s["workers"].is_array() && !s["workers"].empty()) {
    text += fmt::format("{:<8}{:<12}{:>9}{:>10}{:>10}  {}\n", "worker", "state", "process", "samples", "CPU s", "where");
    for (const Json& worker : s["workers"]) {
      const double pid = number_or_zero(worker, "pid");
      text += fmt::format("{:<8}{:<12}{:>9}{:>10}{:>10.1f}  {}\n", number_or_zero(worker, "number"), text_or(worker, "state", "?"),
                          pid > 0 ? fmt::format("{}", pid) : "", number_or_zero(worker, "samples"), number_or_zero(worker, "cpu_s"),
                          where_text(worker));
      const std::string why = text_or(worker, "quarantined_because", text_or(worker, "trouble", ""));
      if (!why.empty()) text += fmt::format("        {}\n", why);
      const Json* unconfined = worker.find("unconfined");
      for (std::size_t i = 0; unconfined != nullptr && unconfined->is_array() && i < unconfined->size(); ++i) {
        if ((*unconfined)[i].is_string()) text += fmt::format("        not confined by {}\n", (*unconfined)[i].string());
      }
    }
  }
  if (number_or_zero(s, "faults") > 0) {
    text +=
        fmt::format("faults {}: {} processes begun anew, {} replays, {} findings, {} roll-backs, {} quarantined, {} batches left out\n",
                    number_or_zero(s, "faults"), number_or_zero(s, "respawns"), number_or_zero(s, "replays"), number_or_zero(s, "findings"),
                    number_or_zero(s, "rollbacks"), number_or_zero(s, "quarantined"), number_or_zero(s, "skipped"));
  }
  text += moves_text(s);
  if (s.contains("goodput")) text += fmt::format("goodput {:.1f} %\n", 100 * number_or_zero(s, "goodput"));
  if (const std::string rung = text_or(s, "rung", ""); !rung.empty()) text += fmt::format("now on the ladder: {}\n", rung);
  if (const std::string waiting = text_or(s, "waiting_for", ""); !waiting.empty()) text += fmt::format("waiting: {}\n", waiting);
  if (const Json* recoveries = s.find("recoveries"); recoveries != nullptr && recoveries->is_array() && !recoveries->empty()) {
    constexpr std::size_t shown = 5;
    text += "last recoveries\n";
    for (std::size_t i = recoveries->size() - std::min(shown, recoveries->size()); i < recoveries->size(); ++i) {
      const Json& each = (*recoveries)[i];
      text += fmt::format("  step {:<8} {:>7.3f} s  {}\n", number_or_zero(each, "step"), number_or_zero(each, "seconds"),
                          text_or(each, "fault", ""));
    }
  }
  return text;
}

std::string text_of(const Json& s) {
  std::string text =
      fmt::format("{}  step {}/{}", s["state"].get<std::string>(), s["step"].get<std::uint64_t>(), s["steps"].get<std::int64_t>());
  if (s.contains("loss")) text += fmt::format("  loss {:.4f}  {:.0f} tokens/s", s["loss"].get<double>(), s["tokens_per_s"].get<double>());
  if (!s["supervisor_pid"].is_null()) text += fmt::format("  process {}", s["supervisor_pid"].get<std::int64_t>());
  text += "\n";
  if (s.contains("validation_loss")) {
    text += fmt::format("validation loss {:.4f} at step {}", s["validation_loss"].get<double>(), s["validation_step"].get<std::uint64_t>());
    if (s.contains("best_step"))
      text += fmt::format(", best {:.4f} at step {}", s["best_validation_loss"].get<double>(), s["best_step"].get<std::uint64_t>());
    text += "\n";
  }
  text += guard_text(s);
  text += "checkpoints";
  for (const auto& step : s["checkpoints"]) text += fmt::format(" {}", step.get<std::uint64_t>());
  text += "\n";
  if (!s["digest"].is_null()) text += fmt::format("digest {}\n", s["digest"].get<std::string>());
  return text;
}

struct StatusOptions {
  std::string run;
  bool json = false;
  bool watch = false;
};

Result<int> run_status(const StatusOptions& options) {
  const store::RunDirectory run{options.run};
  while (true) {
    TRY_ASSIGN(const Json status, status_of(run));
    if (options.json) {
      TRY(print_json(status));
    } else {
      TRY(print((options.watch ? "\033[H\033[J" : "") + text_of(status)));
    }
    TRY(flush_output());
    if (!options.watch || (status["state"] != "running" && status["supervisor_pid"].is_null())) return exit_finished;
    std::this_thread::sleep_for(std::chrono::milliseconds(250));
  }
}

}  // namespace

extern const Command status;
const Command status{
    .name = "status",
    .summary = "Where a run stands; never disturbs it.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<StatusOptions>();
      app.add_option("RUN", options->run, "A run directory").required();
      app.add_flag("--json", options->json, "Print one JSON document");
      app.add_flag("--watch", options->watch, "Show it anew, four times a second, until the run ends");
      return [options] { return run_status(*options); };
    },
};

}  // namespace godwit::cli
