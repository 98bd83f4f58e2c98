#include "qualify/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/clock.h"
#include "base/random.h"
#include "device/backends.h"
#include "program/difference.h"

namespace godwit::qualify {

namespace {

constexpr int troubles_max = 3;  // a device that has cost so many processes gets no more
// What the plain loops of the references do in some tenths of a second; beyond, the CPU backend, which they prove, says what is right.
constexpr double reference_flops_max = 2e7, reference_flops_max_brief = 4e6;
constexpr double reference_bytes_max = 2e8;
constexpr double scalar_flops_max = 2e8;  // of the CPU backend's scalar kernels, which judge where it is itself the device
constexpr double judges_patience = 20;    // times that of the device: nobody else would judge
constexpr std::size_t on_reference = 0, on_cpu = 1, on_scalar = 2;  // devices of the judge
constexpr std::size_t twin = 1;                                     // the device under test, opened a second time
constexpr double timing_s = 0.03, brief_timing_s = 0.005;  // for an op's fastest run
constexpr double pair_s = 0.03, brief_pair_s = 0.01;
constexpr double warm_order_s = 2;
constexpr std::size_t warm_together = 16;  // ops by turns: as many as the device keeps prepared
constexpr std::size_t brief_pairs = 24;
constexpr double share_before_warm = 0.5, share_after_warm = 0.93;  // of the whole's progress

Json time_order(std::size_t device, std::size_t trial, double seconds) {
  return {{"do", "time"}, {"device", device}, {"trial", trial}, {"seconds", seconds}};
}

std::string_view values_name(program::Values values) {
  switch (values) {
    case program::Values::ordinary:
      return "ordinary";
    case program::Values::boundary:
      return "boundary";
    case program::Values::non_finite:
      return "non-finite";
  }
  return "";
}

}  // namespace

bool Session::tries(std::size_t trial) const {
  const Tried& tried = found_->tried[trial];
  return !tried.kernel.empty() && !tried.failed && !in_trouble_.contains(tried.op) && troubles_ < troubles_max;
}

std::size_t Session::judge_device(std::size_t trial) const {
  const Trial& tried = trials_[trial];
  const double flops_max = options_.brief ? reference_flops_max_brief : reference_flops_max;
  if (!tried.whole && tried.cost.flops <= flops_max && tried.cost.bytes <= reference_bytes_max) return on_reference;
  // A device is not its own judge, unless nobody else is quick enough.
  const bool itself = options_.device.backend == "cpu" && !tried.whole && tried.cost.flops <= scalar_flops_max;
  return itself ? on_scalar : on_cpu;
}

Json Session::run_order(std::size_t device, std::size_t trial, const Values& values, int repeats) const {
  return {{"do", "run"},
          {"device", device},
          {"trial", trial},
          {"values", static_cast<int>(values.values)},
          {"seed", values.seed},
          {"repeats", repeats},
          {"keep_state", values.keep_state}};
}

void Session::progress(double share, const std::string& text) const {
  options_.progress(share, phase_ + ": " + text);
}

void Session::note(Failure failure, std::optional<std::size_t> trial) {
  failure.phase = phase_;
  if (trial) {
    failure.op = trials_[*trial].op;
    failure.trial = trials_[*trial].text;
    if (*trial < found_->tried.size()) {
      found_->tried[*trial].failed = true;
      failure.kernel = found_->tried[*trial].kernel;
    }
  }
  found_->failures.push_back(std::move(failure));
}

Result<std::optional<Json>> Session::heed(Result<Json> answer, std::optional<std::size_t> trial) {
  if (answer.ok()) return std::optional(std::move(answer).value());
  if (answer.error().kind == ErrorKind::stopped) return answer.error();
  Failure failure;
  failure.kind = Failure::Kind::error;
  failure.message = answer.error().message;
  if (const auto& trouble = subject_->trouble()) {
    ++troubles_;
    failure.kind = trouble->what.starts_with("did not") ? Failure::Kind::hung : Failure::Kind::crashed;
    failure.message = trouble->what;
    failure.call = call_name(trouble->call);
    if (trouble->trial >= 0) trial = static_cast<std::size_t>(trouble->trial);
    if (trial) in_trouble_.insert(trials_[*trial].op);
  }
  note(std::move(failure), trial);
  return std::optional<Json>();
}

Result<std::optional<Json>> Session::ask(const Json& order, std::optional<std::size_t> trial) {
  return heed(subject_->order(order), trial);
}

void Session::note_difference(std::size_t trial, Failure::Kind kind, std::size_t region, const Values& values) {
  const Trial& tried = trials_[trial];
  Failure failure;
  failure.kind = kind;
  failure.values =
      fmt::format("{} {}{}", values_name(values.values), values.seed, values.keep_state ? ", other inputs beside the same state" : "");
  for (std::size_t k = 0; k < tried.results.size(); ++k) {
    const program::TensorType& type = tried.program.tensor(tried.results[k]).type;
    const auto difference = program::find_difference(type, judge_->result(0, tried, k), subject_->result(region, tried, k));
    if (!difference) continue;
    failure.result = tried.result_names[k];
    failure.shape = fmt::format("{}{}", program::dtype_name(type.dtype), type.shape.text());
    failure.element = difference->element;
    failure.elements = difference->elements;
    failure.expected = difference->expected;
    failure.computed = difference->computed;
    break;
  }
  note(std::move(failure), trial);
}

Result<bool> Session::compare(std::size_t trial, const Values& values, int repeats) {
  const Json judging = run_order(judge_device(trial), trial, values, 1);
  const auto known = values == Values() ? expected_.find(trial) : expected_.end();
  std::string right = known != expected_.end() ? known->second : "";
  if (right.empty()) TRY(judge_->give(judging));
  TRY_ASSIGN(const std::optional<Json> answer, ask(run_order(0, trial, values, repeats), trial));
  const bool judged = right.empty();
  if (judged) {
    TRY_ASSIGN(const Json truth, judge_->take());
    right = truth.value("hash", std::string());
    if (values == Values()) expected_[trial] = right;
  }
  if (!answer) return false;
  found_->compared += repeats * std::ssize(trials_[trial].results);
  found_->tried[trial].compared += repeats * std::ssize(trials_[trial].results);
  const bool equal = answer->value("hash", std::string()) == right;
  if (equal && !answer->contains("odd")) return true;
  if (!judged) TRY(judge_->order(judging));  // for its results
  equal ? note_difference(trial, Failure::Kind::unstable, 1, values) : note_difference(trial, Failure::Kind::differs, 0, values);
  return false;
}

Result<std::string> Session::expected(std::size_t trial) {
  if (const auto known = expected_.find(trial); known != expected_.end()) return known->second;
  TRY_ASSIGN(const Json truth, judge_->order(run_order(judge_device(trial), trial, Values(), 1)));
  return expected_[trial] = truth.value("hash", std::string());
}

Result<bool> Session::check_stretch(const Json& answer) {
  bool well = true;
  for (const auto& [key, hash] : answer["hashes"].items()) {
    const auto trial = static_cast<std::size_t>(std::stoul(key));
    TRY_ASSIGN(const std::string right, expected(trial));
    ++found_->compared;
    if (hash.string() == right || found_->tried[trial].failed) continue;
    well = false;
    // Looked at once more by itself: what it gave in company is gone.
    TRY_ASSIGN(const bool now_right, compare(trial, Values(), 2));
    if (!now_right) continue;
    Failure failure;
    failure.kind = Failure::Kind::error;
    failure.message = fmt::format("a result had the hash {}, {} is right; by itself it comes out right", hash.string(), right);
    note(std::move(failure), trial);
  }
  if (!answer.contains("odd")) return well;
  const auto trial = answer["odd"].get<std::size_t>();
  TRY(judge_->order(run_order(judge_device(trial), trial, Values(), 1)));
  note_difference(trial, Failure::Kind::unstable, answer.value("region", std::size_t{0}), Values());
  return false;
}

Result<void> Session::open() {
  const auto begin = [&](const char* name, std::vector<device::DeviceOptions> devices, const std::string& lie, double patience_s) {
    StandOptions stand;
    stand.name = name;
    stand.subject = {std::move(devices), lie};
    stand.patience_s = patience_s;
    stand.interrupted = options_.interrupted;
    return Stand::begin(trials_, stand);
  };
  device::DeviceOptions reference = options_.device, cpu = options_.device;
  reference.backend = "reference";
  cpu.backend = "cpu";
  for (device::DeviceOptions* each : {&reference, &cpu}) {
    each->number = 0;
    each->isa.clear();
  }
  device::DeviceOptions scalar = cpu;
  scalar.isa = "scalar";
  TRY_ASSIGN(subject_, begin("device under test", {options_.device, options_.device}, options_.lie, options_.patience_s));
  TRY_ASSIGN(judge_, begin("trusted CPU", {reference, cpu, scalar}, "", judges_patience * options_.patience_s));
  TRY_ASSIGN(const std::optional<Json> opened, ask({{"do", "open"}, {"device", 0}}, std::nullopt));
  if (!opened) return {};
  found_->device_name = opened->value("name", std::string());
  host_memory_ = opened->value("host", true);
  TRY_ASSIGN(const std::optional<Json> kernels, ask({{"do", "kernels"}, {"device", 0}}, std::nullopt));
  if (!kernels) return {};
  const Json& names = (*kernels)["names"];
  for (std::size_t i = 0; i < ops_ + wholes_; ++i) {
    const Trial& trial = trials_[i];
    Tried tried;
    tried.op = trial.op;
    tried.text = trial.text;
    tried.whole = trial.whole;
    tried.kernel = names[i].string();
    tried.uses = trial.uses;
    const char* const judges[] = {"reference", "cpu", "cpu, scalar"};
    tried.held_to = judges[judge_device(i)];
    tried.flops = trial.cost.flops;
    tried.bytes = trial.cost.bytes;
    found_->tried.push_back(std::move(tried));
  }
  return {};
}

Result<void> Session::measure_ceilings() {
  if (options_.brief) return {};
  auto& ceilings = found_->ceilings;
  if (host_memory_) {
    TRY_ASSIGN(const Json machine, judge_->order({{"do", "ceilings"}, {"threads", options_.device.threads}}));
    ceilings = {machine.value("flops", 0.0), machine.value("bf16_flops", 0.0), machine.value("bytes", 0.0), "the machine's"};
    return {};
  }
  double* const rates[] = {&ceilings.flops, &ceilings.bf16_flops, &ceilings.bytes};
  for (std::size_t y = 0; y < std::size(rates); ++y) {
    const std::size_t trial = count() + y;
    TRY_ASSIGN(const std::optional<Json> time, ask(time_order(0, trial, timing_s), trial));
    if (!time) return {};
    const program::Cost& cost = trials_[trial].cost;
    *rates[y] = (y < 2 ? cost.flops : cost.bytes) / time->value("seconds", 1.0);
  }
  ceilings.from = "its own large products and sums";
  return {};
}

Result<void> Session::try_values(std::size_t trial) {
  using V = program::Values;
  std::vector<std::pair<Values, int>> sets;  // and how often each is run
  if (trials_[trial].whole) {
    sets = {{{V::ordinary, record_seed}, options_.brief ? 1 : 2}};
    if (!options_.brief) sets.push_back({{V::ordinary, record_seed + 1}, 1});
  } else {
    sets = {{{V::ordinary, record_seed}, 2}, {{V::boundary, 1}, 2}, {{V::non_finite, 1}, 2}, {{V::ordinary, 2, true}, 2}};
    if (!options_.brief) sets.insert(sets.end(), {{{V::ordinary, 3}, 2}, {{V::boundary, 2}, 2}, {{V::boundary, 3}, 2}, {{V::non_finite, 2}, 2}});
  }
  for (const auto& [values, repeats] : sets) {
    if (!tries(trial)) break;
    TRY_ASSIGN(const bool well, compare(trial, values, repeats));
    if (!well) break;
  }
  return {};
}

Result<void> Session::measure(std::size_t trial) {
  Tried& tried = found_->tried[trial];
  const double seconds = options_.brief ? brief_timing_s : timing_s;
  TRY_ASSIGN(const std::optional<Json> time, ask(time_order(0, trial, seconds), trial));
  if (!time) return {};
  const double took = time->value("seconds", 0.0);
  tried.ms = 1e3 * took;
  if (options_.device.backend == "cpu" && options_.device.isa.empty()) {
    tried.cpu_ms = tried.ms;  // they are one
  } else {
    TRY_ASSIGN(const Json cpu, judge_->order(time_order(on_cpu, trial, seconds)));
    tried.cpu_ms = 1e3 * cpu.value("seconds", 0.0);
  }
  const auto& ceilings = found_->ceilings;
  if (ceilings.flops == 0) return {};
  const double least = std::max(tried.flops / (trials_[trial].bf16 ? ceilings.bf16_flops : ceilings.flops), tried.bytes / ceilings.bytes);
  tried.of_ceiling = least / took;
  return {};
}

Result<void> Session::try_pair(std::size_t one, std::size_t other) {
  if (!tries(one) || !tries(other)) return {};
  const Json order = {{"do", "pair"},
                      {"devices", Json::array({0, twin})},
                      {"trials", Json::array({one, other})},
                      {"seconds", options_.brief ? brief_pair_s : pair_s}};
  TRY_ASSIGN(const std::optional<Json> answer, ask(order, one));
  if (!answer) return {};
  ++found_->pairs;
  found_->pair_runs += answer->value("runs", std::int64_t{0});
  TRY(check_stretch(*answer));
  return {};
}

// Each beside the one before it, which the device has still; some beside themselves.
Result<void> Session::try_pairs(std::size_t trial) {
  const std::size_t stride = options_.brief ? std::max<std::size_t>(1, count() / brief_pairs) : 1;
  const bool whole = trials_[trial].whole;
  if (!whole && trial % stride != 0) return {};
  if (whole ? trial == ops_ : trial % (4 * stride) == 0) TRY(try_pair(trial, trial));
  return beside_ && trials_[*beside_].whole == whole ? try_pair(trial, *beside_) : Result<void>();
}

Result<void> Session::warm() {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < count(); ++i) {
    if (tries(i)) list.push_back(i);
  }
  auto& warm = found_->warm;
  RandomSequence random(RandomStream(0, Purpose::test, 4));
  std::size_t next = list.size();
  std::vector<std::vector<Visit>> orders;
  const double begin = monotonic_seconds();
  while (!list.empty() && warm.busy_s < options_.warm_seconds && found_->qualified()) {
    progress(share_before_warm + (share_after_warm - share_before_warm) * warm.busy_s / options_.warm_seconds,
             fmt::format("{:.0f} of {:.0f} s of work", warm.busy_s, options_.warm_seconds));
    if (next >= list.size()) {  // all have had their turn
      for (std::size_t k = list.size(); k > 1; --k) std::swap(list[k - 1], list[random.below(k)]);
      next = 0;
    }
    const std::size_t some = std::min(warm_together, list.size() - next);
    const std::vector<std::size_t> chosen(list.begin() + static_cast<std::ptrdiff_t>(next), list.begin() + static_cast<std::ptrdiff_t>(next + some));
    next += some;
    const Json order = {{"do", "warm"}, {"device", 0}, {"trials", Json(chosen)}, {"seconds", warm_order_s}, {"seed", orders.size()}};
    TRY_ASSIGN(const std::optional<Json> answer, ask(order, std::nullopt));
    if (!answer) break;
    for (auto& visits = orders.emplace_back(); const Json& each : answer->value("visits", Json::array())) {
      visits.push_back({each.value("trial", std::size_t{0}), each.value("runs", std::int64_t{0}), each.value("busy_s", 0.0)});
      warm.busy_s += visits.back().busy_s;
      warm.runs += visits.back().runs;
    }
    TRY(check_stretch(*answer));
    warm.seconds = monotonic_seconds() - begin;
  }
  warm.speed = speeds(orders);
  return {};
}

Result<void> Session::sweep() {
  for (std::size_t i = 0; i < count(); ++i) {
    if (!tries(i)) continue;
    progress(share_after_warm + (1 - share_after_warm) * static_cast<double>(i) / static_cast<double>(count()), trials_[i].text);
    TRY(compare(i, Values(), 1));
  }
  return {};
}

template <typename Run>
Result<void> Session::within(const std::string& phase, Run run) {
  if (troubles_ >= troubles_max) return {};
  phase_ = phase;
  const double begin = monotonic_seconds();
  const Result<void> done = run();
  const auto known = std::ranges::find(found_->phases, phase, &Qualification::Phase::name);
  auto& entry = known != found_->phases.end() ? *known : found_->phases.emplace_back(Qualification::Phase{phase});
  entry.seconds += monotonic_seconds() - begin;
  return done;
}

Result<void> Session::go(Qualification& found) {
  found_ = &found;
  TRY(within("opening", [&] { return open(); }));
  if (found.tried.empty()) return {};  // it cannot even be opened
  TRY(within("speed", [&] { return measure_ceilings(); }));
  for (std::size_t i = 0; i < count(); ++i) {
    phase_ = trials_[i].whole ? "whole programs" : "ops";
    progress((options_.brief ? 1 : share_before_warm) * static_cast<double>(i) / static_cast<double>(count()), trials_[i].text);
    TRY(within(phase_, [&] { return try_values(i); }));
    if (tries(i)) TRY(within("speed", [&] { return measure(i); }));
    if (tries(i)) TRY(within("two at once", [&] { return try_pairs(i); }));
    if (tries(i)) beside_ = i;
  }
  // A device that is refused already need not be heated.
  if (options_.brief || !found.qualified()) return {};
  TRY(within("warm", [&] { return warm(); }));
  return within("after warming", [&] { return found_->qualified() ? sweep() : Result<void>(); });
}

}  // namespace godwit::qualify
