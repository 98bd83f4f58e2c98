// Regular sets of byte strings: what a string, a key or a number may be spelled like.
//
// Everything regular in a grammar is made deterministic when it is compiled, so that following it later costs no more for one pattern than
// for another; a pattern whose automaton would be too large is found out here.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace godwit::infer {

// States and moves between them, some without a byte. What is added last costs nothing until it is made deterministic.
class Nfa {
 public:
  using StateId = std::uint32_t;

  Nfa() : states_(2) {}
  [[nodiscard]] static constexpr StateId start() { return 0; }
  [[nodiscard]] static constexpr StateId end() { return 1; }

  [[nodiscard]] StateId state();
  void on(StateId from, unsigned char low, unsigned char high, StateId to);
  void skip(StateId from, StateId to);
  // One way to spell `text`.
  void literal(StateId from, std::string_view text, StateId to);
  [[nodiscard]] std::size_t size() const { return states_.size(); }

 private:
  friend class Determinizer;
  struct Move {
    unsigned char low, high;
    StateId to;
  };
  struct State {
    std::vector<Move> moves;
    std::vector<StateId> skips;
  };
  std::vector<State> states_;
};

// State 0 is the start; without states it is the empty set.
struct Dfa {
  static constexpr std::int32_t none = -1;
  // More is refused: at 1 KiB a state this is also a limit on memory.
  static constexpr std::size_t states_max = 10'000;

  struct State {
    std::array<std::int32_t, 256> next;
    bool accepts = false;
  };
  std::vector<State> states;

  [[nodiscard]] bool matches(std::string_view text) const;
};

// What compiling one grammar may still cost, in steps of some nanoseconds: a schema's parts may each be cheap and many.
class Work {
 public:
  // False when nothing is left.
  [[nodiscard]] bool spend(std::size_t steps) {
    left_ -= std::min(steps, left_);
    return left_ > 0;
  }

 private:
  std::size_t left_ = 200'000'000;
};

// Nothing where it would have more than states_max states, or more work than there is.
[[nodiscard]] std::optional<Dfa> determinize(const Nfa& nfa, Work& work);
[[nodiscard]] std::optional<Dfa> intersect(const Dfa& a, const Dfa& b, Work& work);
// What is in `a` and not in `b`.
[[nodiscard]] std::optional<Dfa> subtract(const Dfa& a, const Dfa& b, Work& work);

}  // namespace godwit::infer
