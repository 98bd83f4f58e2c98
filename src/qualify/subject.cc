#include "qualify/subject.h"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/random.h"
#include "device/backends.h"
#include "device/ceilings.h"
#include "device/fallback.h"
#include "device/lies.h"
#include "device/standalone.h"
#include "guard/messages.h"
#include "guard/processes.h"
#include "guard/sandbox.h"
#include "program/difference.h"

namespace godwit::qualify {

using program::Values;

namespace {

constexpr std::int64_t kept_bytes_max = std::int64_t{1} << 30;  // of trials that stay prepared
constexpr double visit_seconds = 0.016;                         // a trial's work at a time: reading results must not be most of it
constexpr int shortest_timings = 3;                             // unless they take longer than
constexpr double longest_timing_s = 0.5;

struct Prepared {
  std::size_t device = 0, trial = 0;
  std::unique_ptr<device::Standalone> program;
  std::optional<std::pair<Values, std::uint64_t>> brought;
};

// What a stretch of running found.
struct Stretch {
  std::int64_t runs = 0;
  double busy_s = 0;
  bool odd = false;
};

class Subject {
 public:
  Subject(std::span<const Trial> trials, const SubjectOptions& options, SubjectCell& cell, std::span<std::byte> regions)
      : trials_(trials), options_(options), cell_(cell), regions_(regions) {
    devices_.resize(options.devices.size());
  }

  Result<Json> carry_out(const Json& order) {
    const std::string what = order.value("do", std::string());
    if (what == "open") return open(order);
    if (what == "kernels") return kernels(order);
    if (what == "run") return run(order);
    if (what == "time") return time(order);
    if (what == "pair") return pair(order);
    if (what == "warm") return warm(order);
    if (what == "ceilings") return ceilings(order);
    return world_error("a device under test cannot {}", what);
  }

 private:
  void enter(Call call, std::int32_t trial = -1) {
    cell_.trial.store(trial);
    cell_.call.store(call);
    cell_.beats.fetch_add(1);
  }
  [[nodiscard]] std::span<std::byte> region(std::size_t which) const {
    return regions_.subspan(which * (regions_.size() / 2), regions_.size() / 2);
  }
  [[nodiscard]] static std::size_t index(const Json& order, const char* key) { return order.value(key, std::size_t{0}); }

  Result<device::Device*> device(std::size_t number) {
    if (devices_[number]) return devices_[number].get();
    const device::DeviceOptions& options = options_.devices[number];
    enter(Call::load);
    TRY_ASSIGN(const godwit_backend* backend, device::find_backend(options.backend));
    if (!options_.lie.empty() && !liar_) {
      TRY_ASSIGN(device::Deceit deceit, device::parse_deceit(options_.lie));
      liar_ = std::make_unique<device::Liar>(*backend);
      liar_->arm(device::deceive(std::move(deceit)));
    }
    enter(Call::open);
    TRY_ASSIGN(devices_[number], device::Device::open(liar_ ? liar_->table() : *backend, options));
    return devices_[number].get();
  }

  // The trial on the device, with these values.
  Result<Prepared*> prepared(std::size_t number, std::size_t trial, Values values, std::uint64_t seed) {
    TRY_ASSIGN(Prepared * here, prepared(number, trial));
    if (here->brought == std::pair(values, seed)) return here;
    const std::vector<program::Brought> brought = trials_[trial].bring(values, seed);
    enter(Call::write, static_cast<std::int32_t>(trial));
    TRY(here->program->bring(brought));
    here->brought = std::pair(values, seed);
    return here;
  }

  // The same with the state of ordinary values of record_seed, as the device has it already: only what a run is given is new.
  Result<Prepared*> prepared_keeping_state(std::size_t number, std::size_t trial, Values values, std::uint64_t seed) {
    TRY_ASSIGN(Prepared * here, prepared(number, trial, Values::ordinary, record_seed));
    std::vector<program::Brought> brought = trials_[trial].bring(values, seed);
    std::erase_if(brought,
                  [&](const program::Brought& each) { return trials_[trial].program.tensor(each.tensor).role == program::Role::state; });
    enter(Call::write, static_cast<std::int32_t>(trial));
    TRY(here->program->bring(brought, false));
    here->brought.reset();
    return here;
  }

  Result<Prepared*> prepared(std::size_t number, std::size_t trial) {
    TRY_ASSIGN(device::Device * device, this->device(number));
    auto found = std::ranges::find_if(prepared_, [&](const Prepared& each) { return each.device == number && each.trial == trial; });
    if (found == prepared_.end()) {
      enter(Call::prepare, static_cast<std::int32_t>(trial));
      TRY_ASSIGN(auto program, device::Standalone::prepare(*device, trials_[trial].program));
      kept_bytes_ += program->bytes();
      prepared_.push_front({number, trial, std::move(program), std::nullopt});
      found = prepared_.begin();
    }
    prepared_.splice(prepared_.begin(), prepared_, found);
    while (kept_bytes_ > kept_bytes_max && prepared_.size() > 2) {
      enter(Call::close, static_cast<std::int32_t>(prepared_.back().trial));
      kept_bytes_ -= prepared_.back().program->bytes();
      prepared_.pop_back();
    }
    return &prepared_.front();
  }

  // Its results into a region; their hash.
  Result<BlockHash> read(const Prepared& here, std::span<std::byte> region) {
    const Trial& tried = trials_[here.trial];
    enter(Call::read, static_cast<std::int32_t>(here.trial));
    std::vector<BlockHash> hashes;
    for (std::size_t k = 0; k < tried.results.size(); ++k) {
      const program::TensorType& type = tried.program.tensor(tried.results[k]).type;
      const std::span<std::byte> bytes = region.subspan(static_cast<std::size_t>(tried.offset(k)), static_cast<std::size_t>(type.bytes()));
      TRY(here.program->read(tried.results[k], bytes));
      hashes.push_back(program::hash_result(type, bytes));
    }
    while (hashes.size() > 1) hashes = hash_blocks(std::as_bytes(std::span(hashes)));
    return hashes[0];
  }

  Result<void> run_once(const Prepared& here) {
    enter(Call::run, static_cast<std::int32_t>(here.trial));
    return here.program->run();
  }

  Result<Json> open(const Json& order) {
    TRY_ASSIGN(device::Device * device, this->device(index(order, "device")));
    enter(Call::open);
    TRY_ASSIGN(const device::Buffer buffer, device->allocate(GODWIT_ALIGNMENT));
    return Json{{"name", device->name()}, {"host", buffer.host() != nullptr}};
  }

  Result<Json> kernels(const Json& order) {
    TRY_ASSIGN(device::Device * device, this->device(index(order, "device")));
    Json names = Json::array();
    for (std::size_t i = 0; i < trials_.size(); ++i) {
      enter(Call::describe, static_cast<std::int32_t>(i));
      const std::size_t last = trials_[i].program.nodes.size() - 1;
      std::string name = trials_[i].whole ? "whole" : device->kernel_for(trials_[i].program, last);
      if (name.starts_with(device::by_cpu)) name.clear();  // nothing of the device would be tried; whole programs have it as runs do
      names.push_back(std::move(name));
    }
    return Json{{"names", std::move(names)}};
  }

  Result<Json> run(const Json& order) {
    const auto values = static_cast<Values>(order.value("values", 0));
    const std::uint64_t seed = order.value("seed", record_seed);
    const std::size_t trial = index(order, "trial");
    const std::size_t number = index(order, "device");
    const bool keeps = order.value("keep_state", false);
    TRY_ASSIGN(const Prepared* here, keeps ? prepared_keeping_state(number, trial, values, seed) : prepared(number, trial, values, seed));
    Json answer;
    BlockHash first;
    for (int repeat = 0; repeat < order.value("repeats", 1); ++repeat) {
      TRY(run_once(*here));
      TRY_ASSIGN(const BlockHash hash, read(*here, region(repeat == 0 ? 0 : 1)));
      if (repeat == 0) {
        first = hash;
        answer["hash"] = hex(hash);
      } else if (!(hash == first)) {
        answer["odd"] = hex(hash);
        break;
      }
    }
    if (values == Values::ordinary && seed == record_seed && !keeps) records_.try_emplace(trial, first);
    return answer;
  }

  Result<Json> time(const Json& order) {
    TRY_ASSIGN(const Prepared* here, prepared(index(order, "device"), index(order, "trial"), Values::ordinary, record_seed));
    const double seconds = order.value("seconds", 0.03), first = monotonic_seconds();
    double least = 1e30;
    int runs = 0;
    for (double begin = first, now = first; (runs < shortest_timings && now - first < longest_timing_s) || now - first < seconds; begin = now) {
      TRY(run_once(*here));
      now = monotonic_seconds();
      least = std::min(least, now - begin);
      ++runs;
    }
    return Json{{"seconds", least}, {"runs", runs}};
  }

  // Runs the trial for a while, reads its results and compares with what they were. What was never seen is noted.
  Result<void> stretch(const Prepared& here, double seconds, std::span<std::byte> region, std::optional<BlockHash>& record, Stretch& all) {
    const double end = monotonic_seconds() + seconds;
    do {
      const double begin = monotonic_seconds();
      TRY(run_once(here));
      all.busy_s += monotonic_seconds() - begin;
      ++all.runs;
    } while (monotonic_seconds() < end);
    TRY_ASSIGN(const BlockHash hash, read(here, region));
    if (!record) record = hash;
    all.odd = !(hash == *record);
    return {};
  }

  [[nodiscard]] std::optional<BlockHash> record_of(std::size_t trial) const {
    const auto found = records_.find(trial);
    return found == records_.end() ? std::nullopt : std::optional(found->second);
  }
  // What came out before, as the answer tells it; noted for the next time.
  void tell(Json& hashes, std::size_t trial, const std::optional<BlockHash>& record) {
    if (!record) return;
    records_.try_emplace(trial, *record);
    hashes[std::to_string(trial)] = hex(*record);
  }

  Result<Json> pair(const Json& order) {
    const Json& devices = order["devices"];
    const Json& trials = order["trials"];
    struct Side {
      const Prepared* here = nullptr;
      std::size_t trial = 0;
      std::optional<BlockHash> record;
      Stretch stretch;
      Result<void> outcome;
    };
    Side sides[2];
    for (std::size_t s = 0; s < 2; ++s) {
      sides[s].trial = trials[s].get<std::size_t>();
      TRY_ASSIGN(sides[s].here, prepared(devices[s].get<std::size_t>(), sides[s].trial, Values::ordinary, record_seed));
      sides[s].record = record_of(sides[s].trial);
      if (!sides[s].record) {  // of a process that has just begun: first by itself
        TRY(run_once(*sides[s].here));
        TRY_ASSIGN(sides[s].record, read(*sides[s].here, region(s)));
        records_.emplace(sides[s].trial, *sides[s].record);
      }
    }
    const double end = monotonic_seconds() + order.value("seconds", 0.02);
    {
      std::vector<std::jthread> threads;
      for (std::size_t s = 0; s < 2; ++s) {
        threads.emplace_back([&, s] {
          Side& side = sides[s];
          do {
            side.outcome = stretch(*side.here, 0, region(s), side.record, side.stretch);
          } while (side.outcome.ok() && !side.stretch.odd && monotonic_seconds() < end);
        });
      }
    }
    Json hashes = Json::object(), answer;
    for (std::size_t s = 0; s < 2; ++s) {
      TRY(sides[s].outcome);
      tell(hashes, sides[s].trial, sides[s].record);
      if (sides[s].stretch.odd && !answer.contains("odd")) {
        answer["odd"] = sides[s].trial;
        answer["region"] = s;
      }
    }
    answer["hashes"] = std::move(hashes);
    answer["runs"] = sides[0].stretch.runs + sides[1].stretch.runs;
    return answer;
  }

  Result<Json> warm(const Json& order) {
    const std::vector<std::size_t> trials = order["trials"].get<std::vector<std::size_t>>();
    RandomSequence random(RandomStream(order.value("seed", std::uint64_t{0}), Purpose::test, 4));
    const double end = monotonic_seconds() + order.value("seconds", 1.0);
    Json hashes = Json::object(), visits = Json::array(), answer;
    while (monotonic_seconds() < end && !answer.contains("odd")) {
      const std::size_t trial = trials[random.below(trials.size())];
      TRY_ASSIGN(const Prepared* here, prepared(index(order, "device"), trial, Values::ordinary, record_seed));
      std::optional<BlockHash> record = record_of(trial);
      Stretch visit;
      TRY(stretch(*here, visit_seconds, region(0), record, visit));
      tell(hashes, trial, record);
      visits.push_back({{"trial", trial}, {"runs", visit.runs}, {"busy_s", visit.busy_s}});
      if (visit.odd) {
        answer["odd"] = trial;
        answer["region"] = 0;
      }
    }
    answer["hashes"] = std::move(hashes);
    answer["visits"] = std::move(visits);
    return answer;
  }

  static Result<Json> ceilings(const Json& order) {
    const device::Ceilings measured = device::measure_ceilings(order.value("threads", 1));
    return Json{{"flops", measured.f32_flops}, {"bf16_flops", measured.flops(true)}, {"bytes", measured.read_bytes}};
  }

  std::span<const Trial> trials_;
  const SubjectOptions& options_;
  SubjectCell& cell_;
  std::span<std::byte> regions_;
  std::unique_ptr<device::Liar> liar_;
  std::vector<std::unique_ptr<device::Device>> devices_;
  std::list<Prepared> prepared_;  // the latest used first
  std::int64_t kept_bytes_ = 0;
  std::map<std::size_t, BlockHash> records_;  // of ordinary values of record_seed, by trial
};

}  // namespace

std::string_view call_name(Call call) {
  switch (call) {
    case Call::none:
      return "nothing";
    case Call::load:
      return "loading the library";
    case Call::open:
      return "open";
    case Call::describe:
      return "kernel_for";
    case Call::prepare:
      return "prepare";
    case Call::write:
      return "write";
    case Call::run:
      return "run";
    case Call::read:
      return "read";
    case Call::close:
      return "prepared_destroy";
  }
  return "";
}

int subject_process(std::span<const Trial> trials, const SubjectOptions& options, guard::Link link, SubjectCell& cell,
                    std::span<std::byte> regions) {
  signal(SIGINT, SIG_IGN);  // whoever watches decides
  signal(SIGTERM, SIG_DFL);
  guard::close_inherited_files();
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);  // a device that crashes is no reason to fill a disk
  const bool driver = std::ranges::any_of(options.devices, [](const auto& each) { return device::brings_driver(each.backend); });
  guard::confine_early(driver);
  Subject subject(trials, options, cell, regions);
  while (true) {
    const auto received = link.receive(true);
    if (!received.ok()) return 0;
    const auto frame = guard::decode_frame(**received);
    if (!frame.ok()) return 1;
    Result<Json> done = subject.carry_out(frame->content);
    cell.call.store(Call::none);
    if (!link.send(guard::encode_frame({frame->number, 0, done.ok() ? std::move(done).value() : guard::error_json(done.error())})).ok())
      return 0;
  }
}

}  // namespace godwit::qualify
