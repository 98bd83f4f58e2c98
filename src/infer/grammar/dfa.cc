#include "infer/grammar/dfa.h"

#include <algorithm>
#include <map>
#include <utility>

namespace godwit::infer {

Nfa::StateId Nfa::state() {
  states_.emplace_back();
  return static_cast<StateId>(states_.size() - 1);
}

void Nfa::on(StateId from, unsigned char low, unsigned char high, StateId to) {
  states_[from].moves.push_back({low, high, to});
}

void Nfa::skip(StateId from, StateId to) {
  states_[from].skips.push_back(to);
}

void Nfa::literal(StateId from, std::string_view text, StateId to) {
  for (const char c : text) {
    const StateId next = state();
    on(from, static_cast<unsigned char>(c), static_cast<unsigned char>(c), next);
    from = next;
  }
  skip(from, to);
}

// The subset construction, over sorted sets of states that are closed under skips.
class Determinizer {
 public:
  Determinizer(const Nfa& nfa, Work& work) : nfa_(nfa), work_(work), seen_(nfa.size(), 0) {}

  std::optional<Dfa> run() {
    constexpr std::size_t state_steps = 16;  // to have built it
    if (!work_.spend(nfa_.size() * state_steps)) return std::nullopt;
    intern(closed({Nfa::start()}));
    for (std::size_t i = 0; i < sets_.size(); ++i) {
      if (!expand(i)) return std::nullopt;
    }
    return std::move(dfa_);
  }

 private:
  using Set = std::vector<Nfa::StateId>;

  Set closed(Set open) {
    ++stamp_;
    Set set;
    while (!open.empty()) {
      const Nfa::StateId state = open.back();
      open.pop_back();
      ++steps_;
      if (std::exchange(seen_[state], stamp_) == stamp_) continue;
      set.push_back(state);
      const auto& skips = nfa_.states_[state].skips;
      open.insert(open.end(), skips.begin(), skips.end());
    }
    std::ranges::sort(set);
    return set;
  }

  std::int32_t intern(Set set) {
    if (set.empty()) return Dfa::none;
    const auto [place, added] = ids_.emplace(std::move(set), static_cast<std::int32_t>(sets_.size()));
    if (added) {
      sets_.push_back(&place->first);
      auto& state = dfa_.states.emplace_back();
      state.next.fill(Dfa::none);
      state.accepts = std::ranges::binary_search(place->first, Nfa::end());
    }
    return place->second;
  }

  // Between two borders of the moves' ranges all bytes lead to the same set.
  bool expand(std::size_t index) {
    const Set& set = *sets_[index];
    std::array<bool, 257> border{};
    for (const Nfa::StateId state : set) {
      for (const auto& move : nfa_.states_[state].moves) border[move.low] = border[move.high + 1] = true;
    }
    for (std::size_t low = 0; low < 256;) {
      std::size_t high = low + 1;
      while (high < 256 && !border[high]) ++high;
      Set targets;
      for (const Nfa::StateId state : set) {
        for (const auto& move : nfa_.states_[state].moves) {
          ++steps_;
          if (move.low <= low && low <= move.high) targets.push_back(move.to);
        }
      }
      const std::int32_t next = intern(closed(std::move(targets)));
      for (; low < high; ++low) dfa_.states[index].next[low] = next;
      if (sets_.size() > Dfa::states_max || !work_.spend(std::exchange(steps_, 0))) return false;
    }
    return true;
  }

  const Nfa& nfa_;
  Work& work_;
  Dfa dfa_;
  std::map<Set, std::int32_t> ids_;
  std::vector<const Set*> sets_;
  std::vector<std::size_t> seen_;
  std::size_t stamp_ = 0;
  std::size_t steps_ = 0;
};

std::optional<Dfa> determinize(const Nfa& nfa, Work& work) {
  return Determinizer(nfa, work).run();
}

namespace {

// Pairs of a state of `a` and one of `b`; where b has none left (`none`) a goes on alone if `b_excludes`, else the pair ends.
std::optional<Dfa> product(const Dfa& a, const Dfa& b, bool b_excludes, Work& work) {
  using Pair = std::pair<std::int32_t, std::int32_t>;
  Dfa result;
  if (a.states.empty()) return result;
  std::map<Pair, std::int32_t> ids;
  std::vector<Pair> pairs;
  const auto intern = [&](Pair pair) {
    if (pair.first == Dfa::none || (pair.second == Dfa::none && !b_excludes)) return Dfa::none;
    const auto [place, added] = ids.emplace(pair, static_cast<std::int32_t>(pairs.size()));
    if (added) {
      pairs.push_back(pair);
      auto& state = result.states.emplace_back();
      const bool b_accepts = pair.second != Dfa::none && b.states[pair.second].accepts;
      state.accepts = a.states[pair.first].accepts && b_accepts != b_excludes;
    }
    return place->second;
  };
  intern({0, b.states.empty() ? Dfa::none : 0});
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    if (pairs.size() > Dfa::states_max || !work.spend(256)) return std::nullopt;
    const auto [from_a, from_b] = pairs[i];
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::int32_t next = intern({a.states[from_a].next[byte], from_b == Dfa::none ? Dfa::none : b.states[from_b].next[byte]});
      result.states[i].next[byte] = next;
    }
  }
  return result;
}

}  // namespace

std::optional<Dfa> intersect(const Dfa& a, const Dfa& b, Work& work) {
  return product(a, b, false, work);
}

std::optional<Dfa> subtract(const Dfa& a, const Dfa& b, Work& work) {
  return product(a, b, true, work);
}

bool Dfa::matches(std::string_view text) const {
  if (states.empty()) return false;
  std::int32_t state = 0;
  for (const char c : text) {
    state = states[state].next[static_cast<unsigned char>(c)];
    if (state == none) return false;
  }
  return states[state].accepts;
}

}  // namespace godwit::infer
