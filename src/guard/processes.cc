#include "guard/processes.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>

#include "base/log.h"
#include "device/backend_call.h"
#include "device/backends.h"
#include "guard/messages.h"
#include "guard/sandbox.h"

namespace godwit::guard {

namespace {

// Takes orders until the supervisor is gone, or, once an order has failed, nothing more can be done (`over`). An order that comes again
// gets the answer it got.
int serve(const Seat& seat, Link& link, Pulse& pulse, Json ready, const std::function<bool()>& over,
          const std::function<Result<Json>(const Json&)>& carry_out) {
  PulseCell& cell = pulse.cell();
  std::uint64_t last = 1;
  std::string answer = encode_frame({1, seat.epoch, std::move(ready)});
  const auto send = [&] {
    const bool sent = link.send(answer).ok();
    cell.answered.store(last);
    pulse.beat();
    return sent;
  };
  pulse.enter(Phase::idle, 0);
  if (!send()) return 0;
  while (true) {
    auto received = link.receive(true);
    if (!received.ok()) return 0;
    const auto frame = decode_frame(**received);
    if (!frame.ok() || frame->epoch != seat.epoch) continue;  // it will come again
    if (frame->number == last) {
      if (!send()) return 0;
      continue;
    }
    last = frame->number;
    cell.taken.store(last);
    pulse.beat();
    Result<Json> done = carry_out(frame->content);
    const bool ends = !done.ok() && over();
    answer = encode_frame({last, seat.epoch, done.ok() ? std::move(done).value() : error_json(done.error())});
    pulse.enter(Phase::idle, 0);
    if (!send()) return 0;
    if (ends) return 1;
  }
}

// Tells the supervisor why there will be nothing to serve.
int refuse(const Seat& seat, Link& link, const Error& error) {
  (void)link.send(encode_frame({1, seat.epoch, error_json(error)}));
  return 1;
}

}  // namespace

void close_inherited_files() {
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return;
  std::vector<int> regular;
  while (const dirent* entry = readdir(directory)) {
    const int descriptor = std::atoi(entry->d_name);
    char target[4096];
    const ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target);
    if (descriptor <= 2 || descriptor == dirfd(directory) || length <= 0) continue;
    const std::string_view path(target, static_cast<std::size_t>(length));
    const bool ours = path.starts_with("/memfd:") || path.ends_with("/faults.jsonl");
    if (path.starts_with('/') && !path.starts_with("/dev/") && !ours) regular.push_back(descriptor);
  }
  closedir(directory);
  close_log_file();  // through the log first: its descriptor would be written to by number
  for (const int descriptor : regular) close(descriptor);
}

int keeper_process(Task& task, const Memory& memory, const Seat& seat, Link link, PulseCell& cell, Faults& faults) {
  signal(SIGTERM, SIG_IGN);  // the supervisor decides when the run stops, also when a terminal tells all of them
  signal(SIGINT, SIG_IGN);
  Pulse pulse(cell, Role::keeper, -1, true, faults);
  pulse.enter(Phase::starting, 0);
  const std::unique_ptr<KeeperTask> keeper = task.keeper(seat.threads);
  if (const auto prepared = keeper->prepare(memory, pulse); !prepared.ok()) return refuse(seat, link, prepared.error());
  Json ready;
  ready["device"] = "cpu";
  const auto never = [] { return false; };
  return serve(seat, link, pulse, std::move(ready), never, [&](const Json& order) -> Result<Json> {
    const std::string what = order.value("do", std::string());
    const auto number = [&](const char* key) { return order.value(key, std::size_t{0}); };
    Json done;
    if (what == "load") {
      TRY_ASSIGN(const KeeperTask::Loaded loaded, keeper->load(number("state"), order.value("before", std::uint64_t{0})));
      return to_json(loaded);
    }
    if (what == "check") {
      TRY_ASSIGN(done["changed"], keeper->check(number("state")));
      return done;
    }
    if (what == "batch") {
      TRY_ASSIGN(const Drawn drawn, keeper->batch(number("state"), number("area")));
      return to_json(drawn);
    }
    if (what == "ask") {
      TRY_ASSIGN(const std::vector<Proposed> written, proposals_from(order["written"]));
      TRY_ASSIGN(const Asked asked, keeper->ask(number("state"), number("area"), written));
      return to_json(asked);
    }
    if (what == "validation") {
      TRY_ASSIGN(done["repaired"],
                 keeper->validation(order.value("first", std::int64_t{0}), order.value("count", std::int64_t{0}), number("area")));
      return done;
    }
    if (what == "make") {
      TRY_ASSIGN(const std::vector<Proposed> proposals, proposals_from(order["proposals"]));
      const How how = order.value("skip", false) ? How::skip : How::apply;
      TRY_ASSIGN(const Made made, keeper->make(number("from"), number("to"), number("area"), proposals, how));
      return to_json(made);
    }
    return world_error("a keeper cannot {}", what);
  });
}

int worker_process(Task& task, const Memory& memory, const Seat& seat, Link link, PulseCell& cell, Faults& faults) {
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_IGN);
  Pulse pulse(cell, Role::worker, seat.number, seat.trusted, faults);
  pulse.candidate(seat.candidate);
  const bool driver = device::brings_driver(seat.place.backend);
  if (driver) {
    setpgid(0, 0);  // what a driver starts, and leaves behind, ends with the worker (guard/child.cc)
    device::watch_calls(cell.call, link.descriptor());
  }
  std::vector<std::string> missing = confine_early(driver);
  pulse.enter(Phase::starting, 0);
  // Never destroyed: the process ends behind it, and a driver that has lost its device may crash or hang in its clean-up.
  WorkerTask* const worker = task.worker(seat.place, seat.threads).release();
  if (const auto prepared = worker->prepare(memory, seat.slots, pulse); !prepared.ok()) return refuse(seat, link, prepared.error());
  for (std::string& each : confine(faults.any(), driver)) missing.push_back(std::move(each));
  Json ready;
  ready["device"] = worker->device_name();
  ready["unconfined"] = Json(missing);
  ready["coverage"] = worker->coverage();
  if (const auto identity = worker->identity()) ready["identity"] = to_json(*identity);
  const auto given_up = [&cell] { return cell.wanted.load() > cell.taken.load(); };
  const auto lost = [worker] { return worker->lost(); };
  return serve(seat, link, pulse, std::move(ready), lost, [&](const Json& json) -> Result<Json> {
    TRY_ASSIGN(const Order order, order_from(json));
    const std::string what = json.value("do", std::string());
    pulse.candidate(what == prove || what == read_back);
    if (what == read_back) {
      TRY_ASSIGN(const Digest digest, worker->read_back(order));
      return Json{{"digest", hex(digest)}};
    }
    if (what == "evaluate") {
      TRY_ASSIGN(const WorkerTask::Evaluated evaluated, worker->evaluate(order));
      return to_json(evaluated);
    }
    TRY_ASSIGN(const Answer answer, worker->propose(order, given_up));
    return to_json(answer);
  });
}

}  // namespace godwit::guard
