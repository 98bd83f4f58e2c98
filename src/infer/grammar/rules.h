// A grammar: automata over bytes and control tokens that may call one another, as nested brackets need.
//
// Compiled from a schema (json_schema.h), followed by Configurations.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "infer/grammar/dfa.h"

namespace godwit::infer {

// 0–255 are bytes, above them the control tokens that the grammar names.
using Symbol = std::uint16_t;
inline constexpr Symbol first_control = 256;

class Rules {
 public:
  using StateId = std::uint32_t;
  using RuleId = std::uint32_t;

  static constexpr std::size_t states_max = 60'000;
  // Brackets open at once in an answer; what most readers of JSON take, ours included.
  static constexpr std::uint16_t depth_max = 64;
  static constexpr std::uint16_t unreachable = depth_max + 1;

  struct Move {
    Symbol low, high;
    StateId to;
  };
  struct Call {
    RuleId rule;
    StateId back;
  };
  struct State {
    std::vector<Move> moves;
    std::vector<StateId> skips;
    std::vector<Call> calls;
    bool final = false;
    std::uint16_t height = unreachable;  // brackets that the shortest way to the rule's end still opens inside one another
  };
  struct Rule {
    StateId start;
    bool opens;  // a bracket
    std::uint16_t height = unreachable;
  };

  // ---- Building ----
  [[nodiscard]] RuleId rule(bool opens = false);
  // Beyond states_max the last state again; finish() then fails. Loops ask full().
  [[nodiscard]] StateId state();
  [[nodiscard]] bool full() const { return full_; }
  void on(StateId from, Symbol low, Symbol high, StateId to);
  void skip(StateId from, StateId to);
  void call(StateId from, RuleId rule, StateId to);
  void literal(StateId from, std::string_view text, StateId to);
  // `text` shares its beginning with what was added to the same state so.
  void branch(StateId from, std::string_view text, StateId to);
  void automaton(StateId from, const Dfa& dfa, StateId to);
  void end(StateId state) { states_[state].final = true; }
  // A way takes bytes that no token of the vocabulary has alone: it is as if it were not there.
  void forget_byte(unsigned char byte) { missing_[byte] = true; }

  // To be called once, before it is followed. Input errors: too large, a rule that begins with itself, no way to the end of `root`.
  [[nodiscard]] Result<void> finish(RuleId root);

  // ---- Following ----
  [[nodiscard]] RuleId root() const { return root_; }
  [[nodiscard]] const Rule& at(RuleId rule) const { return rules_[rule]; }
  [[nodiscard]] const State& state(StateId id) const { return states_[id]; }
  [[nodiscard]] std::size_t states() const { return states_.size(); }
  // One more than the largest symbol.
  [[nodiscard]] Symbol symbols() const { return symbols_; }

 private:
  [[nodiscard]] Result<void> check_beginnings() const;
  void find_heights();

  std::vector<State> states_;
  std::vector<Rule> rules_;
  std::array<bool, 256> missing_{};
  RuleId root_ = 0;
  Symbol symbols_ = first_control;
  bool full_ = false;
};

}  // namespace godwit::infer
