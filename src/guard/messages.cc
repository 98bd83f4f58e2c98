#include "guard/messages.h"

#include <bit>

namespace godwit::guard {

namespace {

// A member of a frame, which was hashed and so is what a process of this build sent; what is missing or of another kind is still an error,
// because a worker that lies may say anything.
template <typename T>
Result<T> member(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  const bool fits = found != nullptr && (std::is_same_v<T, std::string> ? found->is_string()
                                         : std::is_same_v<T, bool>      ? found->is_boolean()
                                                                        : found->is_number_integer());
  if (!fits) return world_error("a message lacks {}", key);
  return found->get<T>();
}

Result<const Json*> list(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  if (found == nullptr || !found->is_array()) return world_error("a message lacks the list {}", key);
  return found;
}

template <typename T>
Result<std::vector<T>> numbers(const Json& json, std::string_view key) {
  TRY_ASSIGN(const Json* found, list(json, key));
  std::vector<T> values;
  for (const Json& item : *found) {
    if (!item.is_number_integer()) return world_error("a message's {} are not all numbers", key);
    values.push_back(item.get<T>());
  }
  return values;
}

Json bits(double value) {
  return std::bit_cast<std::uint64_t>(value);
}
Result<double> real(const Json& json, std::string_view key) {
  TRY_ASSIGN(const auto word, member<std::uint64_t>(json, key));
  return std::bit_cast<double>(word);
}

Result<BlockHash> hash(const Json& json, std::string_view key) {
  TRY_ASSIGN(const auto text, member<std::string>(json, key));
  return parse_block_hash(text);
}

}  // namespace

Json to_json(const Order& order) {
  Json json;
  json["state"] = order.state;
  json["state_changed"] = order.state_changed;
  json["area"] = order.area;
  json["first"] = order.first;
  json["count"] = order.count;
  json["slot"] = order.slot;
  json["question"] = order.question;
  json["step"] = order.step;
  json["key"] = Json::array({order.key[0], order.key[1]});
  return json;
}

Result<Order> order_from(const Json& json) {
  Order order;
  TRY_ASSIGN(order.state, member<std::size_t>(json, "state"));
  TRY_ASSIGN(order.state_changed, member<bool>(json, "state_changed"));
  TRY_ASSIGN(order.area, member<std::size_t>(json, "area"));
  TRY_ASSIGN(order.first, member<std::int64_t>(json, "first"));
  TRY_ASSIGN(order.count, member<std::int64_t>(json, "count"));
  TRY_ASSIGN(order.slot, member<int>(json, "slot"));
  TRY_ASSIGN(order.question, member<bool>(json, "question"));
  TRY_ASSIGN(order.step, member<std::uint64_t>(json, "step"));
  TRY_ASSIGN(const auto key, numbers<std::uint64_t>(json, "key"));
  if (key.size() != 2) return world_error("a message has a key of {} words", key.size());
  order.key[0] = key[0];
  order.key[1] = key[1];
  return order;
}

Json to_json(const Answer& answer) {
  Json json;
  json["checksum"] = hex(answer.checksum);
  json["finding_count"] = answer.finding_count;
  json["checked"] = answer.checked;
  json["writing_s"] = bits(answer.writing_s);
  Json findings = Json::array();
  for (const device::Finding& finding : answer.findings) {
    Json each;
    each["program"] = finding.program;
    each["op"] = finding.op;
    each["index"] = finding.index;
    each["tensor"] = finding.tensor;
    each["row"] = finding.row;
    each["difference"] = bits(finding.difference);
    each["bound"] = bits(finding.bound);
    findings.push_back(std::move(each));
  }
  json["findings"] = std::move(findings);
  return json;
}

Result<Answer> answer_from(const Json& json) {
  Answer answer;
  TRY_ASSIGN(answer.checksum, hash(json, "checksum"));
  TRY_ASSIGN(answer.finding_count, member<std::int64_t>(json, "finding_count"));
  TRY_ASSIGN(answer.checked, member<std::int64_t>(json, "checked"));
  TRY_ASSIGN(answer.writing_s, real(json, "writing_s"));
  TRY_ASSIGN(const Json* findings, list(json, "findings"));
  for (const Json& each : *findings) {
    device::Finding finding;
    TRY_ASSIGN(finding.program, member<std::string>(each, "program"));
    TRY_ASSIGN(finding.op, member<std::string>(each, "op"));
    TRY_ASSIGN(finding.index, member<std::int32_t>(each, "index"));
    TRY_ASSIGN(finding.tensor, member<std::string>(each, "tensor"));
    TRY_ASSIGN(finding.row, member<std::int64_t>(each, "row"));
    TRY_ASSIGN(finding.difference, real(each, "difference"));
    TRY_ASSIGN(finding.bound, real(each, "bound"));
    answer.findings.push_back(std::move(finding));
  }
  return answer;
}

Json to_json(const WorkerTask::Evaluated& evaluated) {
  Json json;
  Json sums = Json::array();
  for (const double sum : evaluated.sums) sums.push_back(bits(sum));
  json["sums"] = std::move(sums);
  json["predictions"] = evaluated.predictions;
  json["finding_count"] = evaluated.finding_count;
  return json;
}

Result<WorkerTask::Evaluated> evaluated_from(const Json& json) {
  WorkerTask::Evaluated evaluated;
  TRY_ASSIGN(const auto sums, numbers<std::uint64_t>(json, "sums"));
  for (const std::uint64_t sum : sums) evaluated.sums.push_back(std::bit_cast<double>(sum));
  TRY_ASSIGN(evaluated.predictions, member<std::int64_t>(json, "predictions"));
  TRY_ASSIGN(evaluated.finding_count, member<std::int64_t>(json, "finding_count"));
  return evaluated;
}

Json to_json(std::span<const Proposed> proposals) {
  Json json = Json::array();
  for (const Proposed& proposed : proposals) {
    Json each;
    each["worker"] = proposed.worker;
    each["slot"] = proposed.slot;
    each["first"] = proposed.first;
    each["count"] = proposed.count;
    each["checksum"] = hex(proposed.checksum);
    json.push_back(std::move(each));
  }
  return json;
}

Result<std::vector<Proposed>> proposals_from(const Json& json) {
  std::vector<Proposed> proposals;
  for (const Json& each : json) {
    Proposed proposed;
    TRY_ASSIGN(proposed.worker, member<int>(each, "worker"));
    TRY_ASSIGN(proposed.slot, member<int>(each, "slot"));
    TRY_ASSIGN(proposed.first, member<std::int64_t>(each, "first"));
    TRY_ASSIGN(proposed.count, member<std::int64_t>(each, "count"));
    TRY_ASSIGN(proposed.checksum, hash(each, "checksum"));
    proposals.push_back(proposed);
  }
  return proposals;
}

namespace {

Json doubts_json(std::span<const Doubt> doubts) {
  Json json = Json::array();
  for (const Doubt& doubt : doubts) {
    Json each;
    each["what"] = doubt.what;
    each["samples"] = doubt.samples;
    each["proposals"] = Json(doubt.proposals);
    json.push_back(std::move(each));
  }
  return json;
}

Result<std::vector<Doubt>> doubts_from(const Json& json) {
  std::vector<Doubt> doubts;
  TRY_ASSIGN(const Json* found, list(json, "doubts"));
  for (const Json& each : *found) {
    Doubt doubt;
    TRY_ASSIGN(doubt.what, member<std::string>(each, "what"));
    TRY_ASSIGN(doubt.samples, member<bool>(each, "samples"));
    TRY_ASSIGN(doubt.proposals, numbers<int>(each, "proposals"));
    doubts.push_back(std::move(doubt));
  }
  return doubts;
}

}  // namespace

Json to_json(const Made& made) {
  Json json;
  json["doubts"] = doubts_json(made.doubts);
  json["facts"] = made.facts;
  json["samples"] = made.samples;
  json["mended"] = made.mended;
  json["note"] = made.note;
  return json;
}

Result<Made> made_from(const Json& json) {
  Made made;
  TRY_ASSIGN(made.doubts, doubts_from(json));
  if (const Json* facts = json.find("facts")) made.facts = *facts;
  if (const Json* samples = json.find("samples")) made.samples = *samples;
  TRY_ASSIGN(made.mended, member<std::string>(json, "mended"));
  TRY_ASSIGN(made.note, member<std::string>(json, "note"));
  return made;
}

Json to_json(const Drawn& drawn) {
  return {{"repaired", drawn.repaired}, {"lacks", drawn.lacks}};
}

Result<Drawn> drawn_from(const Json& json) {
  Drawn drawn;
  TRY_ASSIGN(drawn.repaired, member<std::string>(json, "repaired"));
  TRY_ASSIGN(drawn.lacks, member<std::string>(json, "lacks"));
  return drawn;
}

Json to_json(const Asked& asked) {
  Json json;
  json["doubts"] = doubts_json(asked.doubts);
  json["warnings"] = Json(asked.warnings);
  json["unconfined"] = Json(asked.unconfined);
  return json;
}

Result<Asked> asked_from(const Json& json) {
  Asked asked;
  TRY_ASSIGN(asked.doubts, doubts_from(json));
  for (const auto& [key, texts] : {std::pair{"warnings", &asked.warnings}, {"unconfined", &asked.unconfined}}) {
    TRY_ASSIGN(const Json* found, list(json, key));
    for (const Json& each : *found) texts->push_back(each.is_string() ? each.string() : "");
  }
  return asked;
}

Json to_json(const DeviceIdentity& device) {
  return {{"backend", device.backend}, {"number", device.number},   {"name", device.name},
          {"driver", device.driver},   {"library", device.library}, {"isa", device.isa}};
}

DeviceIdentity identity_from(const Json& json) {
  const auto text = [&](const char* name) { return json.value(name, std::string()); };
  return {.backend = text("backend"),
          .number = json.value("number", 0),
          .name = text("name"),
          .driver = text("driver"),
          .library = text("library"),
          .isa = text("isa")};
}

Json to_json(const KeeperTask::Loaded& loaded) {
  Json json;
  json["loaded"] = loaded.loaded;
  json["step"] = loaded.step;
  json["profile"] = loaded.profile;
  json["refused"] = Json(loaded.refused);
  return json;
}

Result<KeeperTask::Loaded> loaded_from(const Json& json) {
  KeeperTask::Loaded loaded;
  TRY_ASSIGN(loaded.loaded, member<bool>(json, "loaded"));
  TRY_ASSIGN(loaded.step, member<std::uint64_t>(json, "step"));
  TRY_ASSIGN(loaded.profile, member<std::string>(json, "profile"));
  TRY_ASSIGN(const Json* refused, list(json, "refused"));
  for (const Json& each : *refused) loaded.refused.push_back(each.is_string() ? each.string() : "");
  return loaded;
}

Json error_json(const Error& error) {
  Json json;
  json["error"] = error.message;
  json["kind"] = static_cast<int>(error.kind);
  return json;
}

std::optional<Error> error_from(const Json& json) {
  const Json* message = json.find("error");
  if (message == nullptr || !message->is_string()) return std::nullopt;
  const Json* kind = json.find("kind");
  const int number = kind != nullptr && kind->is_number_integer() ? kind->get<int>() : static_cast<int>(ErrorKind::world);
  return Error{static_cast<ErrorKind>(number), message->string()};
}

}  // namespace godwit::guard
