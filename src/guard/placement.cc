#include "guard/placement.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <random>

#include "base/config.h"
#include "base/file.h"
#include "device/backends.h"

namespace godwit::guard {

namespace {

constexpr std::uint64_t document_bytes_max = 1 << 20;
constexpr std::size_t moves_kept = 32;
constexpr int devices_max = 4096;

Json to_json(const Place& place) {
  return {{"backend", place.backend}, {"device", place.device}};
}

// What a member is, or nothing where the document has it not, or of another kind.
std::optional<std::string> text_of(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  return found != nullptr && found->is_string() ? std::optional(found->string()) : std::nullopt;
}
template <typename T>
std::optional<T> number_of(const Json& json, std::string_view key) {
  const Json* found = json.find(key);
  return found != nullptr && found->is_number() ? std::optional(found->get<T>()) : std::nullopt;
}

std::optional<Place> place_from(const Json& json) {
  const auto backend = text_of(json, "backend");
  const auto device = number_of<int>(json, "device");
  if (!backend || !device) return std::nullopt;
  return Place{*backend, *device};
}

// Null where one of the items is not what it should be.
template <typename Item, typename From>
std::optional<std::vector<Item>> list_of(const Json& json, std::string_view key, const From& from) {
  const Json* found = json.find(key);
  if (found == nullptr || !found->is_array()) return std::nullopt;
  std::vector<Item> items;
  for (const Json& each : *found) {
    auto item = from(each);
    if (!item) return std::nullopt;
    items.push_back(*std::move(item));
  }
  return items;
}

std::optional<int> worker_from(const Json& json) {
  return json.is_number_integer() ? std::optional(json.get<int>()) : std::nullopt;
}

std::optional<Placement::Seat> seat_from(const Json& json) {
  const auto place = place_from(json);
  const auto since = number_of<std::uint64_t>(json, "since");
  if (!place || !since) return std::nullopt;
  return Placement::Seat{*place, *since};
}

std::optional<EndedMove> move_from(const Json& json) {
  const Json* to = json.find("to");
  const auto place = to == nullptr ? std::nullopt : place_from(*to);
  const auto workers = list_of<int>(json, "workers", worker_from);
  if (!place || !workers) return std::nullopt;
  EndedMove move;
  move.id = text_of(json, "id").value_or("");
  move.to = *place;
  move.workers = *workers;
  const auto flag = [&](std::string_view key) {
    const Json* found = json.find(key);
    return found != nullptr && *found == Json(true);
  };
  move.moved = flag("moved");
  move.differs = flag("differs");
  move.why = text_of(json, "why").value_or("");
  move.step = number_of<std::uint64_t>(json, "step").value_or(0);
  move.seconds = number_of<double>(json, "seconds").value_or(0);
  move.pause_s = number_of<double>(json, "pause_s").value_or(0);
  return move;
}

// The document in a file; nothing where there is none.
Result<std::optional<Json>> read_document(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::optional<Json>();
  Result<std::string> text = read_file(path, document_bytes_max);
  if (!text.ok()) {
    if (!fs::exists(path, ignored)) return std::optional<Json>();  // it was taken away meanwhile
    return text.error();
  }
  TRY_ASSIGN(Json json, parse_json(*text, path.string()));
  return std::optional(std::move(json));
}

Result<void> write_document(const fs::path& path, const Json& json) {
  return write_file_durably(path, write_json(json) + "\n");
}

}  // namespace

Json to_json(const EndedMove& move) {
  return {{"id", move.id},   {"to", to_json(move.to)}, {"workers", Json(move.workers)}, {"moved", move.moved},    {"differs", move.differs},
          {"why", move.why}, {"step", move.step},      {"seconds", move.seconds},       {"pause_s", move.pause_s}};
}

std::string Place::text() const {
  return device == 0 ? backend : fmt::format("{}:{}", backend, device);
}

Result<Place> parse_place(std::string_view text) {
  Place place;
  const std::size_t colon = text.find(':');
  place.backend = std::string(text.substr(0, colon));
  if (colon != std::string_view::npos) {
    const std::string_view number = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), place.device);
    if (error != std::errc{} || end != number.data() + number.size() || place.device < 0 || place.device > devices_max)
      return input_error("'{}' is no device of {}: behind the colon stands its number, as godwit devices counts them: {}:0", number,
                         place.backend, place.backend);
  }
  std::vector<std::string> known;
  for (const device::BackendPlace& each : device::backend_places()) known.push_back(each.name);
  if (std::ranges::find(known, place.backend) != known.end()) return place;
  const std::string near = nearest_name(place.backend, known);
  return input_error("there is no backend '{}'{}; there are: {}", place.backend, near.empty() ? "" : fmt::format(", did you mean {}", near),
                     fmt::join(known, ", "));
}

Result<std::vector<Place>> parse_places(std::string_view text) {
  std::vector<Place> places;
  while (true) {
    const std::size_t comma = text.find(',');
    TRY_ASSIGN(Place place, parse_place(text.substr(0, comma)));
    places.push_back(std::move(place));
    if (comma == std::string_view::npos) return places;
    text.remove_prefix(comma + 1);
  }
}

std::string places_text(std::span<const Place> places) {
  std::vector<std::string> texts;
  for (const Place& place : places) texts.push_back(place.text());
  return fmt::format("{}", fmt::join(texts, ", "));
}

Result<std::optional<Placement>> read_placement(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::optional<Json> json, read_document(path));
  if (!json) return std::optional<Placement>();
  auto asked = list_of<Place>(*json, "asked", place_from);
  auto workers = list_of<Placement::Seat>(*json, "workers", seat_from);
  auto moves = list_of<EndedMove>(*json, "moves", move_from);
  if (!asked || !workers || !moves) {
    return input_error(
        "{}: must hold where workers were asked to sit, where they sit, and their moves; remove the file to have them where the command "
        "says",
        path.string());
  }
  const Json* alone = json->find("alone");
  return std::optional(Placement{*std::move(asked), *std::move(workers), alone != nullptr && *alone == Json(true), *std::move(moves)});
}

Result<void> write_placement(const std::filesystem::path& path, const Placement& placement) {
  Json json;
  json["asked"] = Json::array();
  for (const Place& place : placement.asked) json["asked"].push_back(to_json(place));
  json["workers"] = Json::array();
  for (const Placement::Seat& seat : placement.workers) {
    Json each = to_json(seat.place);
    each["since"] = seat.since;
    json["workers"].push_back(std::move(each));
  }
  json["alone"] = placement.alone;
  json["moves"] = Json::array();
  for (std::size_t i = placement.moves.size() - std::min(moves_kept, placement.moves.size()); i < placement.moves.size(); ++i)
    json["moves"].push_back(to_json(placement.moves[i]));
  return write_document(path, json);
}

Placement settle(const std::optional<Placement>& recorded, std::span<const Place> asked, int workers) {
  Placement placement;
  if (recorded) placement.moves = recorded->moves;
  placement.asked.assign(asked.begin(), asked.end());
  const bool again = recorded && std::ranges::equal(recorded->asked, asked);
  for (int w = 0; w < workers; ++w) {
    const auto number = static_cast<std::size_t>(w);
    if (again && number < recorded->workers.size()) {
      placement.workers.push_back(recorded->workers[number]);
    } else if (again && asked.size() == 1 && !recorded->workers.empty()) {
      placement.workers.push_back(recorded->workers.back());
    } else {
      placement.workers.push_back({asked.size() == 1 ? asked[0] : asked[number], 0});
    }
  }
  return placement;
}

Result<std::optional<MoveRequest>> read_move_request(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::optional<Json> json, read_document(path));
  if (!json) return std::optional<MoveRequest>();
  const Json* to = json->find("to");
  auto place = to == nullptr ? std::nullopt : place_from(*to);
  auto id = text_of(*json, "id");
  auto workers = list_of<int>(*json, "workers", worker_from);
  if (!place || !id || id->empty() || !workers) return input_error("{}: is no request to move", path.string());
  return std::optional(
      MoveRequest{*std::move(id), *std::move(place), *std::move(workers), number_of<std::int64_t>(*json, "process").value_or(0)});
}

Result<void> write_move_request(const std::filesystem::path& path, const MoveRequest& request) {
  return write_document(
      path, {{"id", request.id}, {"to", to_json(request.to)}, {"workers", Json(request.workers)}, {"process", request.process}});
}

MoveRequest make_move_request(Place to, std::vector<int> workers) {
  std::random_device device;
  return {fmt::format("{:08x}{:08x}", device(), device()), std::move(to), std::move(workers), getpid()};
}

}  // namespace godwit::guard
