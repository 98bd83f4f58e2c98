// Where an answer may be in its grammar: sets of states with the stacks of rules around them, made deterministic as they are met.
//
// A stack is a chain of frames. All ways into a rule at one place of the answer share its frame (as Earley's algorithm shares where a rule
// began), so that alternatives nested in one another do not multiply. Frames and configurations are told apart by what they hold: the same
// place in the same context is the same number, however it was reached, and what was worked out for it once is found again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "infer/grammar/rules.h"

namespace godwit::infer {

// The rules must outlive it and be finished. Not thread-safe.
class Configurations {
 public:
  using Id = std::uint32_t;
  static constexpr Id dead = 0;
  // A symbol's row of successors takes 1 KiB.
  static constexpr std::size_t configurations_max = 8192;

  explicit Configurations(const Rules& rules);

  [[nodiscard]] Id begin() const { return begin_; }
  // Where the symbol leads; dead where it may not come. Every other configuration has a way to the end of the answer.
  [[nodiscard]] Id step(Id from, Symbol symbol) {
    const Id known = next_[static_cast<std::size_t>(from) * symbols_ + symbol];
    return known != unknown ? known : work_out(from, symbol);
  }
  [[nodiscard]] bool may_end(Id id) const { return configurations_[id].may_end; }

  // Too much is remembered: begin anew with adopt().
  [[nodiscard]] bool full() const { return configurations_.size() >= configurations_max || frames_.size() >= 8 * configurations_max; }
  // The same place, known elsewhere by another number.
  [[nodiscard]] Id adopt(const Configurations& other, Id id);

 private:
  using FrameId = std::uint32_t;
  static constexpr Id unknown = ~Id{0};
  struct Item {
    Rules::StateId state;
    FrameId frame;
    friend auto operator<=>(const Item&, const Item&) = default;
  };
  // Where a rule goes on when it has ended: states of its callers and their frames.
  struct Frame {
    std::vector<Item> returns;
    std::uint16_t depth;  // brackets open within
  };
  struct Configuration {
    std::vector<Item> items;  // only those from which a symbol leads on
    bool may_end = false;
  };

  // The items that follow from some by skips, calls and ends of rules.
  class Closure;

  [[nodiscard]] Id work_out(Id from, Symbol symbol);
  [[nodiscard]] FrameId frame(Frame frame);
  [[nodiscard]] Id configuration(Configuration configuration);
  [[nodiscard]] FrameId adopt_frame(const Configurations& other, FrameId id, std::unordered_map<FrameId, FrameId>& known);

  const Rules& rules_;
  std::size_t symbols_;
  std::vector<Frame> frames_;
  std::vector<Configuration> configurations_;
  std::vector<Id> next_;
  std::unordered_map<std::string, FrameId> frame_ids_;
  std::unordered_map<std::string, Id> configuration_ids_;
  Id begin_ = dead;

  // Of the closure that is being worked out: its states, marked by its number.
  std::vector<std::uint32_t> seen_;
  std::uint32_t closure_ = 0;
};

}  // namespace godwit::infer
