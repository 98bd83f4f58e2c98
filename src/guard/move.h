// A move under way, as the supervisor holds it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/digest.h"
#include "guard/placement.h"

namespace godwit::guard {

struct Move {
  // In their order; docs/moving.md tells what each proves.
  enum Stage : std::uint8_t {
    preparing,  // candidates come up elsewhere, while the run goes on
    prepared,   // they wait for a step to begin
    proving,    // they make a part each of a step that others make too, from a state and samples that are kept for them
    proven,     // their parts have the others' bits; they wait for the step's end
    comparing,  // the run stands still: is what they hold the committed state?
  };
  struct Candidate {
    int worker = 0;  // whose seat it is to take
    std::size_t part = 0;
    std::int64_t first = 0, count = 0;       // samples of the part
    std::optional<BlockHash> made = {};      // of the proposal, by it
    std::optional<BlockHash> expected = {};  // and by others
    std::optional<Digest> digest = {};       // of the state it holds
  };
  MoveRequest request;
  Stage stage = preparing;
  std::vector<Candidate> candidates;
  std::size_t state = 0;   // proving: the one that is kept
  std::uint64_t step = 0;  // that is made of it
  double began_at = 0;
  double paused_s = 0;  // that the run stood still, so far
};

}  // namespace godwit::guard
