#include "qualify/qualification.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace godwit::qualify {

std::string_view kind_name(Failure::Kind kind) {
  switch (kind) {
    case Failure::Kind::differs:
      return "differs";
    case Failure::Kind::unstable:
      return "unstable";
    case Failure::Kind::error:
      return "error";
    case Failure::Kind::crashed:
      return "crashed";
    case Failure::Kind::hung:
      return "hung";
  }
  return "";
}

std::string Failure::text() const {
  const std::string what = trial.empty() ? "before any op" : trial;
  switch (kind) {
    case Kind::error:
      return fmt::format("{}: {}", what, message);
    case Kind::crashed:
    case Kind::hung:
      return fmt::format("{}: the device's process {} in the call {}", what, message, call);
    case Kind::differs:
    case Kind::unstable:
      break;
  }
  return fmt::format(
      "{}: its result {} ({}) {} at element {}: expected {}, computed {}; {} element{} so (values {}, kernel {}, found in {})", what,
      result, shape, kind == Kind::differs ? "differs" : "is another one than before", element, expected, computed, elements,
      elements == 1 ? "" : "s", values, kernel, phase);
}

std::int64_t Qualification::fell_back() const {
  return std::ranges::count_if(tried, [](const Tried& each) { return !each.whole && each.kernel.empty(); });
}

namespace {

Json number(const std::optional<double>& value) {
  return value ? Json(*value) : Json();
}

Json to_json(const Failure& failure) {
  Json json = {{"kind", kind_name(failure.kind)}, {"phase", failure.phase},   {"op", failure.op},
               {"trial", failure.trial},          {"values", failure.values}, {"text", failure.text()}};
  if (failure.kind == Failure::Kind::differs || failure.kind == Failure::Kind::unstable) {
    json["kernel"] = failure.kernel;
    json["result"] = failure.result;
    json["shape"] = failure.shape;
    json["element"] = failure.element;
    json["elements"] = failure.elements;
    json["expected"] = failure.expected;
    json["computed"] = failure.computed;
  } else {
    json["call"] = failure.call;
    json["message"] = failure.message;
  }
  return json;
}

Json to_json(const Tried& each) {
  return {{"op", each.op},
          {"text", each.text},
          {"whole", each.whole},
          {"kernel", each.kernel.empty() ? Json() : Json(each.kernel)},
          {"fell_back", each.kernel.empty()},
          {"held_to", each.held_to},
          {"uses", each.uses},
          {"compared", each.compared},
          {"ms", number(each.ms)},
          {"cpu_ms", number(each.cpu_ms)},
          {"flops", each.flops},
          {"bytes", each.bytes},
          {"of_ceiling", number(each.of_ceiling)},
          {"failed", each.failed}};
}

}  // namespace

Json to_json(const Qualification& q) {
  Json tried = Json::array(), failures = Json::array(), phases = Json::array();
  for (const Tried& each : q.tried) tried.push_back(to_json(each));
  for (const Failure& each : q.failures) failures.push_back(to_json(each));
  for (const auto& each : q.phases) phases.push_back({{"name", each.name}, {"seconds", each.seconds}});
  Json json = {{"verdict", q.qualified() ? "qualified" : "refused"},
               {"backend", q.device.backend},
               {"device", q.device.number},
               {"name", q.device.name},
               {"driver", q.device.driver},
               {"library", q.device.library},
               {"isa", q.device.isa},
               {"opened_as", q.device_name},
               {"program", q.program},
               {"config", q.config},
               {"at", q.at},
               {"short", q.brief},
               {"workers", q.workers},
               {"threads", q.threads},
               {"seconds", q.seconds},
               {"compared", q.compared},
               {"pairs", q.pairs},
               {"pair_runs", q.pair_runs},
               {"fell_back", q.fell_back()},
               {"failures", failures},
               {"ops", tried},
               {"phases", phases}};
  json["ceilings"] =
      q.ceilings.flops == 0
          ? Json()
          : Json{
                {"flops", q.ceilings.flops}, {"bf16_flops", q.ceilings.bf16_flops}, {"bytes", q.ceilings.bytes}, {"from", q.ceilings.from}};
  json["warm"] = {{"seconds", q.warm.seconds}, {"busy_s", q.warm.busy_s}, {"runs", q.warm.runs}, {"speed", Json(q.warm.speed)}};
  if (!q.lie.empty()) json["lie"] = q.lie;
  return json;
}

std::vector<double> speeds(const std::vector<std::vector<Visit>>& orders) {
  std::map<std::size_t, double> least;  // seconds of a run
  for (const std::vector<Visit>& order : orders) {
    for (const Visit& each : order) {
      if (each.runs == 0) continue;
      const double run_s = each.busy_s / static_cast<double>(each.runs);
      double& known = least.try_emplace(each.trial, run_s).first->second;
      known = std::min(known, run_s);
    }
  }
  std::vector<double> list;
  for (const std::vector<Visit>& order : orders) {
    double busy_s = 0, least_s = 0;
    for (const Visit& each : order) {
      if (each.runs == 0) continue;
      busy_s += each.busy_s;
      least_s += least.at(each.trial) * static_cast<double>(each.runs);
    }
    list.push_back(busy_s == 0 ? 0 : least_s / busy_s);
  }
  return list;
}

}  // namespace godwit::qualify
