// godwit move: workers of a run to another backend or device, between two steps.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <thread>

#include "base/clock.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "guard/placement.h"
#include "store/run_directory.h"

namespace godwit::cli {

namespace {

constexpr auto look_every = std::chrono::milliseconds(20);
constexpr double new_supervisor_s = 10;  // that a start waits for a dead one's children

struct Options {
  std::string run;
  std::string to;
  int worker = -1;
  bool json = false;
  bool quiet = false;
};

// What the supervisor tells; an empty object where it does not.
Json told(const store::RunDirectory& run) {
  const auto text = read_file(run.guard(), std::uint64_t{1} << 24);
  if (!text.ok()) return Json::object();
  const auto json = parse_json(*text, "guard.json");
  return json.ok() && json->is_object() ? *json : Json::object();
}

std::string text_of(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  return found != nullptr && found->is_string() ? found->string() : "";
}

// Stages for people.
std::string stage_text(const std::string& stage, const std::string& to) {
  if (stage == "preparing") return fmt::format("candidates come up on {}; the run goes on", to);
  if (stage == "prepared") return "they are ready and wait for a step to begin";
  if (stage == "proving") return "they make a part of a step that the run makes, too";
  if (stage == "proven") return "their bits are the run's; they wait for the step's end";
  if (stage == "comparing") return "the run stands still: do they hold its state?";
  return stage;
}

// What cannot be, before anything is asked for.
Result<void> check(const Options& options, const guard::Place& to, const std::optional<guard::Placement>& placement, bool runs) {
  if (!placement) return {};  // it has never begun
  if (placement->alone && runs) {
    return input_error(
        "the run in '{}' is one process that does everything (--workers 0) and cannot be checked while it is moved: stop it, and start it "
        "again "
        "with --workers 1 (its bits stay the same), there by --backend {} or moved afterwards",
        options.run, to.text());
  }
  const int workers = static_cast<int>(placement->workers.size());
  if (options.worker >= workers)
    return input_error("the run in '{}' has no worker {}; there are 0 to {}", options.run, options.worker, workers - 1);
  for (int w = 0; w < workers; ++w) {
    if (options.worker >= 0 && w != options.worker) continue;
    if (!(placement->workers[static_cast<std::size_t>(w)].place == to)) return {};
  }
  const std::uint64_t since = placement->workers[static_cast<std::size_t>(std::max(0, options.worker))].since;
  return input_error("{} of '{}' sits on {} already, since step {}; nothing is to be moved",
                     options.worker >= 0 ? fmt::format("worker {}", options.worker) : "every worker", options.run, to.text(), since);
}

struct Outcome {
  std::string text;
  Json json;
  int code = exit_finished;
};

Outcome recorded(const Options& options, const guard::MoveRequest& request) {
  return {fmt::format("'{}' is not running: it is recorded, and done and checked when the run is started again", options.run),
          {{"outcome", "recorded"}, {"to", request.to.text()}}};
}

Outcome outcome_of(const guard::EndedMove& move, const store::RunDirectory& run) {
  double pause_s = move.pause_s;
  // The supervisor tells how long it really was, the writing of the record too.
  const Json guard = told(run);
  if (const Json* ended = guard.find("ended_moves"); ended != nullptr && ended->is_array()) {
    for (const Json& each : *ended) {
      const Json* pause = each.find("pause_s");
      if (text_of(each, "id") == move.id && pause != nullptr && pause->is_number()) pause_s = pause->get<double>();
    }
  }
  Outcome outcome;
  outcome.json = {{"outcome", move.moved ? "moved" : "refused"},
                  {"to", move.to.text()},
                  {"workers", Json(move.workers)},
                  {"seconds", move.seconds},
                  {"pause_s", pause_s}};
  if (move.moved) {
    outcome.json["step"] = move.step;
    outcome.text = fmt::format("moved: worker {} on {} from step {} on; the run stood still for {:.3f} s", fmt::join(move.workers, ", "),
                               move.to.text(), move.step, pause_s);
  } else {
    outcome.json["why"] = move.why;
    outcome.json["differs"] = move.differs;
    outcome.text = fmt::format("not moved, the run goes on where it was: {}", move.why);
    outcome.code = move.differs ? exit_differs : exit_other;
  }
  return outcome;
}

// Until the record says how it ended and the request is taken away, so that the next one may be written; or nobody is there to do it.
Result<Outcome> follow(const Options& options, const store::RunDirectory& run, const guard::MoveRequest& request) {
  Progress progress(options.quiet, 0);
  std::string stage;
  double alone_since = 0;
  while (true) {
    const auto there = guard::read_move_request(run.move_request());
    TRY_ASSIGN(const auto holder, LockFile::holder(run.lock()));
    TRY_ASSIGN(const auto placement, guard::read_placement(run.placement()));
    if (placement && (!holder || (there.ok() && !*there))) {
      for (const guard::EndedMove& move : placement->moves) {
        if (move.id == request.id) return outcome_of(move, run);
      }
    }
    if (holder) {
      alone_since = 0;
    } else if (alone_since == 0) {
      alone_since = monotonic_seconds();
    } else if (monotonic_seconds() - alone_since > new_supervisor_s) {
      return recorded(options, request);
    }
    if (there.ok() && *there && (*there)->id != request.id)
      return world_error("another request has taken this one's place: to {}", (*there)->to.text());
    const Json json = told(run);
    if (const Json* move = json.find("move"); move != nullptr && text_of(*move, "id") == request.id && text_of(*move, "stage") != stage) {
      stage = text_of(*move, "stage");
      progress.line(stage_text(stage, request.to.text()));
    }
    if (interrupted())
      return Error{ErrorKind::stopped, "nobody waits for the move any more; the run goes on with it, and godwit status says how it ends"};
    std::this_thread::sleep_for(look_every);
  }
}

Result<int> run_move(const Options& options) {
  const store::RunDirectory run{options.run};
  TRY_ASSIGN(const guard::Place to, guard::parse_place(options.to));
  if (!fs::exists(run.config())) return input_error("'{}' is not a run: it has no config.toml", options.run);
  catch_interrupts();
  TRY_ASSIGN(const LockFile lock,
             LockFile::acquire(run.move_lock(), fmt::format("moving the run '{}'", options.run), "wait until that move has ended"));
  TRY_ASSIGN(const auto placement, guard::read_placement(run.placement()));
  TRY_ASSIGN(const auto holder, LockFile::holder(run.lock()));
  if (holder) {
    // Somebody asked, and did not wait for the end.
    const auto open = guard::read_move_request(run.move_request());
    if (open.ok() && *open)
      return input_error("a move of '{}' to {} is under way, asked for by process {}: wait until godwit status says how it ended",
                         options.run, (*open)->to.text(), (*open)->process);
  }
  TRY(check(options, to, placement, holder.has_value()));
  const guard::MoveRequest request =
      guard::make_move_request(to, options.worker < 0 ? std::vector<int>() : std::vector<int>{options.worker});
  TRY(guard::write_move_request(run.move_request(), request));
  Outcome outcome = recorded(options, request);
  if (holder) {
    TRY_ASSIGN(outcome, follow(options, run, request));
  }
  if (options.json) {
    TRY(print_json(outcome.json));
  } else {
    TRY(print(outcome.text + "\n"));
  }
  return outcome.code;
}

}  // namespace

extern const Command move;
const Command move{
    .name = "move",
    .summary = "Move a run's workers to another backend or device between two steps; exit 3 if that computes other bits.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("RUN", options->run, "A run directory").required();
      app.add_option("--to", options->to, "Where to: a backend, or BACKEND:DEVICE; godwit devices lists them")
          .type_name("PLACE")
          .required();
      app.add_option("--worker", options->worker, "This worker alone; by default all").type_name("N").between(0, 1023);
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_quiet(app, options->quiet);
      return [options] { return run_move(*options); };
    },
};

}  // namespace godwit::cli
