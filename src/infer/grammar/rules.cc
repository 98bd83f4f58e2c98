#include "infer/grammar/rules.h"

#include <algorithm>
#include <optional>

namespace godwit::infer {

Rules::RuleId Rules::rule(bool opens) {
  rules_.push_back({.start = state(), .opens = opens});
  return static_cast<RuleId>(rules_.size() - 1);
}

Rules::StateId Rules::state() {
  if (states_.size() >= states_max) {
    full_ = true;
  } else {
    states_.emplace_back();
  }
  return static_cast<StateId>(states_.size() - 1);
}

void Rules::on(StateId from, Symbol low, Symbol high, StateId to) {
  states_[from].moves.push_back({low, high, to});
  symbols_ = std::max<Symbol>(symbols_, static_cast<Symbol>(high + 1));
}

void Rules::skip(StateId from, StateId to) {
  states_[from].skips.push_back(to);
}

void Rules::call(StateId from, RuleId rule, StateId to) {
  states_[from].calls.push_back({rule, to});
}

void Rules::literal(StateId from, std::string_view text, StateId to) {
  for (const char c : text) {
    const StateId next = state();
    on(from, static_cast<unsigned char>(c), static_cast<unsigned char>(c), next);
    from = next;
  }
  skip(from, to);
}

void Rules::branch(StateId from, std::string_view text, StateId to) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const auto& moves = states_[from].moves;
    const auto known = std::ranges::find_if(moves, [&](const Move& move) { return move.low == byte && move.high == byte; });
    if (known != moves.end()) {
      from = known->to;
      continue;
    }
    const StateId next = state();
    on(from, byte, byte, next);
    from = next;
  }
  skip(from, to);
}

void Rules::automaton(StateId from, const Dfa& dfa, StateId to) {
  std::vector<StateId> copies;
  for (const Dfa::State& original : dfa.states) {
    const StateId copy = state();
    if (full_) return;
    if (original.accepts) skip(copy, to);
    copies.push_back(copy);
  }
  if (copies.empty()) return;
  skip(from, copies[0]);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    const auto& next = dfa.states[i].next;
    for (std::size_t low = 0; low < 256;) {
      std::size_t high = low;
      while (high + 1 < 256 && next[high + 1] == next[low]) ++high;
      if (next[low] != Dfa::none) on(copies[i], static_cast<Symbol>(low), static_cast<Symbol>(high), copies[next[low]]);
      low = high + 1;
    }
  }
}

Result<void> Rules::finish(RuleId root) {
  if (full_) return input_error("the grammar would have more than {} states; make its bounds or lists smaller", states_max);
  root_ = root;
  TRY(check_beginnings());
  find_heights();
  if (rules_[root].height > depth_max) {
    return input_error("no answer can fulfil it: it contradicts itself, or asks for more than {} levels", depth_max);
  }
  return {};
}

// A rule that calls itself before any symbol would be entered without end. (No rule is empty, so only what begins a rule matters.)
Result<void> Rules::check_beginnings() const {
  enum class Mark : std::uint8_t { fresh, open, done };
  std::vector<Mark> marks(rules_.size(), Mark::fresh);
  std::vector<std::size_t> seen(states_.size(), 0);
  struct Entered {
    RuleId rule;
    std::vector<RuleId> calls;
  };
  std::vector<Entered> path;
  const auto enter = [&](RuleId rule) {
    marks[rule] = Mark::open;
    Entered entered{rule, {}};
    std::vector<StateId> open{rules_[rule].start};
    while (!open.empty()) {
      const State& state = states_[open.back()];
      const StateId id = open.back();
      open.pop_back();
      if (seen[id] == rule + 1) continue;
      seen[id] = rule + 1;
      CHECK(!state.final, "a rule of a grammar is empty");
      open.insert(open.end(), state.skips.begin(), state.skips.end());
      for (const Call& call : state.calls) entered.calls.push_back(call.rule);
    }
    path.push_back(std::move(entered));
  };
  for (RuleId first = 0; first < rules_.size(); ++first) {
    if (marks[first] != Mark::fresh) continue;
    enter(first);
    while (!path.empty()) {
      Entered& last = path.back();
      if (last.calls.empty()) {
        marks[last.rule] = Mark::done;
        path.pop_back();
        continue;
      }
      const RuleId next = last.calls.back();
      last.calls.pop_back();
      if (marks[next] == Mark::open) return input_error("a $ref leads back to itself without anything in between");
      if (marks[next] == Mark::fresh) enter(next);
    }
  }
  return {};
}

// From the ends backwards, each state again when what follows it became lower: at most depth_max times.
void Rules::find_heights() {
  struct Before {
    StateId state;
    std::optional<RuleId> called;  // the way from `state` goes through this rule
  };
  std::vector<std::vector<Before>> before(states_.size());
  std::vector<std::vector<Call>> callers(rules_.size());  // Call::back is here the state that calls
  std::vector<std::vector<RuleId>> begins(states_.size());
  for (RuleId rule = 0; rule < rules_.size(); ++rule) begins[rules_[rule].start].push_back(rule);
  std::vector<StateId> lowered;
  for (StateId id = 0; id < states_.size(); ++id) {
    State& state = states_[id];
    std::erase_if(state.moves, [&](const Move& move) {
      for (Symbol symbol = move.low; symbol <= move.high; ++symbol) {
        if (symbol >= first_control || !missing_[symbol]) return false;
      }
      return true;
    });
    for (const Move& move : state.moves) before[move.to].push_back({id, {}});
    for (const StateId to : state.skips) before[to].push_back({id, {}});
    for (const Call& call : state.calls) {
      before[call.back].push_back({id, call.rule});
      callers[call.rule].push_back({call.rule, id});
    }
    if (state.final) {
      state.height = 0;
      lowered.push_back(id);
    }
  }
  const auto lower = [&](StateId id, std::uint16_t height) {
    if (height >= states_[id].height) return;
    states_[id].height = height;
    lowered.push_back(id);
  };
  while (!lowered.empty()) {
    const StateId id = lowered.back();
    lowered.pop_back();
    const std::uint16_t height = states_[id].height;
    for (const Before& from : before[id]) {
      lower(from.state, from.called ? std::max(height, rules_[*from.called].height) : height);
    }
    for (const RuleId rule : begins[id]) {
      const auto of_rule = static_cast<std::uint16_t>(std::min<int>(height + (rules_[rule].opens ? 1 : 0), unreachable));
      if (of_rule >= rules_[rule].height) continue;
      rules_[rule].height = of_rule;
      for (const Call& caller : callers[rule]) {
        for (const Call& call : states_[caller.back].calls) {
          if (call.rule == rule) lower(caller.back, std::max(of_rule, states_[call.back].height));
        }
      }
    }
  }
}

}  // namespace godwit::infer
