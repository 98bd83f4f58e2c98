// Where a run's workers sit, and where they are asked to go: two small documents of its directory.
//
// RUN/placement.json is the supervisor's: where each worker sits. A move is done when this file is replaced, and not before; who is
// started again reads it and knows the old places or the new ones, never some of each. RUN/move.json is a request: whoever wants a move
// puts it there in one piece, and it stays until placement.json says how the move with its id ended.
//
// Where a worker sits is not state: no digest depends on it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace godwit::guard {

// A kind of chip, and which of them.
struct Place {
  std::string backend = "cpu";
  int device = 0;
  friend bool operator==(const Place&, const Place&) = default;
  [[nodiscard]] std::string text() const;  // "opencl:1"; of the first device "opencl"
};

// "opencl", "opencl:1". A backend that is not here is an error that names the nearest one and all there are; none is loaded.
[[nodiscard]] Result<Place> parse_place(std::string_view text);
// One place, or several with commas between: "cpu,opencl".
[[nodiscard]] Result<std::vector<Place>> parse_places(std::string_view text);
// "cpu, opencl:1"
[[nodiscard]] std::string places_text(std::span<const Place> places);

// A move that has ended.
struct EndedMove {
  std::string id;  // of its request; empty: the ladder's own
  Place to;
  std::vector<int> workers;
  bool moved = false;
  bool differs = false;    // not moved: the target computed other bits
  std::string why = {};    // not moved
  std::uint64_t step = 0;  // moved: the first step made there
  double seconds = 0;      // from the request to the end
  double pause_s = 0;      // of them, those in which the run stood still
};

struct Placement {
  struct Seat {
    Place place;
    std::uint64_t since = 0;  // the first step made there
  };
  std::vector<Place> asked;  // as the command that started the run says it: one for all, or one for each
  std::vector<Seat> workers;
  bool alone = false;            // one process does everything
  std::vector<EndedMove> moves;  // the latest, oldest first
};

// As documents hold it.
[[nodiscard]] Json to_json(const EndedMove& move);

// Nothing: there is none, or (an error) it is not one.
[[nodiscard]] Result<std::optional<Placement>> read_placement(const std::filesystem::path& path);
[[nodiscard]] Result<void> write_placement(const std::filesystem::path& path, const Placement& placement);

// Where the workers of a run that is started sit: the same command goes on where they were moved to, one that asks for other places than
// the command before is given those. A worker that was not there before sits where the last one does.
[[nodiscard]] Placement settle(const std::optional<Placement>& recorded, std::span<const Place> asked, int workers);

struct MoveRequest {
  std::string id;
  Place to;
  std::vector<int> workers;  // empty: all
  std::int64_t process = 0;  // that asked
};

[[nodiscard]] Result<std::optional<MoveRequest>> read_move_request(const std::filesystem::path& path);
// Durable on return; an earlier request is replaced.
[[nodiscard]] Result<void> write_move_request(const std::filesystem::path& path, const MoveRequest& request);
// One with an id of its own, of this process.
[[nodiscard]] MoveRequest make_move_request(Place to, std::vector<int> workers);

}  // namespace godwit::guard
