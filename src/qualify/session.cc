#include "qualify/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "base/clock.h"
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
constexpr double warm_order_s = 1;
constexpr std::size_t brief_pairs = 24;

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

void Session::progress(double part, const std::string& text) const {
  options_.progress(phase_begins_ + part * phase_share_, text.empty() ? phase_ : phase_ + ": " + text);
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
  TRY(judge_->give(run_order(judge_device(trial), trial, values, 1)));
  TRY_ASSIGN(const std::optional<Json> answer, ask(run_order(0, trial, values, repeats), trial));
  TRY_ASSIGN(const Json truth, judge_->take());
  const std::string right = truth.value("hash", std::string());
  if (values == Values()) expected_[trial] = right;
  if (!answer) return false;
  found_->compared += repeats * std::ssize(trials_[trial].results);
  found_->tried[trial].compared += repeats * std::ssize(trials_[trial].results);
  if (answer->value("hash", std::string()) != right) {
    note_difference(trial, Failure::Kind::differs, 0, values);
    return false;
  }
  if (answer->contains("odd")) {
    note_difference(trial, Failure::Kind::unstable, 1, values);
    return false;
  }
  return true;
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

Result<void> Session::try_ops() {
  using V = program::Values;
  std::vector<Values> sets = {{V::ordinary, record_seed}, {V::boundary, 1}, {V::non_finite, 1}, {V::ordinary, 2, true}};
  if (!options_.brief) {
    for (const Values& more : {Values{V::ordinary, 3}, Values{V::boundary, 2}, Values{V::boundary, 3}, Values{V::non_finite, 2}})
      sets.push_back(more);
  }
  for (std::size_t i = 0; i < ops_; ++i) {
    for (const Values& values : sets) {
      if (!tries(i)) break;
      progress(static_cast<double>(i) / static_cast<double>(ops_), trials_[i].text);
      TRY_ASSIGN(const bool well, compare(i, values, 2));
      if (!well) break;
    }
  }
  return {};
}

Result<void> Session::try_wholes() {
  for (std::size_t i = ops_; i < ops_ + wholes_; ++i) {
    for (const std::uint64_t seed : {record_seed, record_seed + 1}) {
      if (!tries(i)) break;
      if (options_.brief && seed != record_seed) break;
      progress(static_cast<double>(i - ops_) / static_cast<double>(wholes_), trials_[i].text);
      TRY_ASSIGN(const bool well, compare(i, {program::Values::ordinary, seed}, options_.brief ? 1 : 2));
      if (!well) break;
    }
  }
  return {};
}

Result<void> Session::measure() {
  const double seconds = options_.brief ? 0.005 : 0.03;
  const auto timed = [&](std::size_t trial) { return Json{{"do", "time"}, {"device", 0}, {"trial", trial}, {"seconds", seconds}}; };
  auto& ceilings = found_->ceilings;
  if (!options_.brief && host_memory_) {
    progress(0, "what the machine gives at most");
    TRY_ASSIGN(const Json machine, judge_->order({{"do", "ceilings"}, {"threads", options_.device.threads}}));
    ceilings = {machine.value("flops", 0.0), machine.value("bf16_flops", 0.0), machine.value("bytes", 0.0), "the machine's"};
  } else if (!options_.brief) {
    double* const rates[] = {&ceilings.flops, &ceilings.bf16_flops, &ceilings.bytes};
    for (std::size_t y = 0; y < std::size(rates); ++y) {
      const std::size_t trial = ops_ + wholes_ + y;
      TRY_ASSIGN(const std::optional<Json> time, ask(timed(trial), trial));
      if (!time) return {};
      const program::Cost& cost = trials_[trial].cost;
      *rates[y] = (y < 2 ? cost.flops : cost.bytes) / time->value("seconds", 1.0);
    }
    ceilings.from = "its own large products and sums";
  }
  for (std::size_t i = 0; i < ops_ + wholes_; ++i) {
    Tried& tried = found_->tried[i];
    if (!tries(i)) continue;
    progress(static_cast<double>(i) / static_cast<double>(ops_ + wholes_), tried.text);
    TRY_ASSIGN(const std::optional<Json> time, ask(timed(i), i));
    if (!time) continue;
    const double took = time->value("seconds", 0.0);
    tried.ms = 1e3 * took;
    Json on_the_cpu = timed(i);
    on_the_cpu["device"] = on_cpu;
    TRY_ASSIGN(const Json cpu, judge_->order(on_the_cpu));
    tried.cpu_ms = 1e3 * cpu.value("seconds", 0.0);
    if (ceilings.flops == 0) continue;
    const double least = std::max(tried.flops / (trials_[i].bf16 ? ceilings.bf16_flops : ceilings.flops), tried.bytes / ceilings.bytes);
    tried.of_ceiling = least / took;
  }
  return {};
}

Result<void> Session::try_pairs() {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < ops_ + wholes_; ++i) {
    if (tries(i)) list.push_back(i);
  }
  if (list.empty()) return {};
  // Each op is one of a pair at least, beside another; some beside themselves; whole programs both.
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  const std::size_t stride = options_.brief ? std::max<std::size_t>(1, list.size() / brief_pairs) : 1;
  for (std::size_t k = 0; k < list.size(); k += stride) {
    pairs.emplace_back(list[k], list[(k + list.size() / 2) % list.size()]);
    if (k % (4 * stride) == 0 || trials_[list[k]].whole) pairs.emplace_back(list[k], list[k]);
  }
  for (std::size_t k = 0; k < pairs.size(); ++k) {
    const auto [one, other] = pairs[k];
    if (!tries(one) || !tries(other)) continue;
    progress(static_cast<double>(k) / static_cast<double>(pairs.size()), trials_[one].text);
    const Json order = {{"do", "pair"},
                        {"devices", Json::array({0, twin})},
                        {"trials", Json::array({one, other})},
                        {"seconds", options_.brief ? 0.01 : 0.03}};
    TRY_ASSIGN(const std::optional<Json> answer, ask(order, one));
    if (!answer) continue;
    ++found_->pairs;
    found_->pair_runs += answer->value("runs", std::int64_t{0});
    TRY(check_stretch(*answer));
  }
  return {};
}

Result<void> Session::warm() {
  if (options_.brief || !found_->qualified()) return {};  // a device that is refused already need not be heated
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < ops_ + wholes_; ++i) {
    if (tries(i)) list.push_back(i);
  }
  auto& warm = found_->warm;
  const double begin = monotonic_seconds();
  while (!list.empty() && warm.busy_s < options_.warm_seconds && found_->qualified()) {
    progress(warm.busy_s / options_.warm_seconds, fmt::format("{:.0f} of {:.0f} s of work", warm.busy_s, options_.warm_seconds));
    const Json order = {{"do", "warm"}, {"device", 0}, {"trials", Json(list)}, {"seconds", warm_order_s}, {"seed", warm.gflops.size()}};
    TRY_ASSIGN(const std::optional<Json> answer, ask(order, std::nullopt));
    if (!answer) break;
    const double busy = answer->value("busy_s", 0.0);
    warm.busy_s += busy;
    warm.runs += answer->value("runs", std::int64_t{0});
    warm.gflops.push_back(busy == 0 ? 0 : answer->value("flops", 0.0) / busy / 1e9);
    TRY(check_stretch(*answer));
    warm.seconds = monotonic_seconds() - begin;
  }
  return {};
}

Result<void> Session::sweep() {
  if (options_.brief || !found_->qualified()) return {};
  for (std::size_t i = 0; i < ops_ + wholes_; ++i) {
    if (!tries(i)) continue;
    progress(static_cast<double>(i) / static_cast<double>(ops_ + wholes_), trials_[i].text);
    TRY(compare(i, Values(), 1));
  }
  return {};
}

Result<void> Session::phase(const std::string& name, double share, Result<void> (Session::*run)()) {
  if (troubles_ >= troubles_max || (found_->tried.empty() && !found_->failures.empty())) return {};
  phase_ = name;
  phase_share_ = share;
  const double begin = monotonic_seconds();
  const Result<void> done = (this->*run)();
  found_->phases.push_back({name, monotonic_seconds() - begin});
  phase_begins_ += share;
  return done;
}

Result<void> Session::go(Qualification& found) {
  found_ = &found;
  const bool brief = options_.brief;
  TRY(phase("opening", 0.02, &Session::open));
  TRY(phase("ops", brief ? 0.6 : 0.25, &Session::try_ops));
  TRY(phase("whole programs", brief ? 0.1 : 0.08, &Session::try_wholes));
  TRY(phase("speed", brief ? 0.1 : 0.1, &Session::measure));
  TRY(phase("two at once", brief ? 0.18 : 0.05, &Session::try_pairs));
  TRY(phase("warm", brief ? 0 : 0.45, &Session::warm));
  return phase("after warming", brief ? 0 : 0.05, &Session::sweep);
}

}  // namespace godwit::qualify
