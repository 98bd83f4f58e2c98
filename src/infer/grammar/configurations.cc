#include "infer/grammar/configurations.h"

#include <algorithm>

namespace godwit::infer {
namespace {

// What tells a list of items apart from others, as bytes for a hash map.
template <typename Items>
std::string key_of(const Items& items, std::uint16_t more) {
  std::string key(reinterpret_cast<const char*>(&more), sizeof more);
  key.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(items[0]));
  return key;
}

template <typename Items>
void sort_unique(Items& items) {
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());  // clang 14 cannot compile libstdc++'s ranges::unique
}

}  // namespace

// While it grows the callers of a rule that begins here are not all known, so its frame has a number of its own (from first_new on); when
// all are, new frames become frames. No rule begins with itself, so they do not contain one another.
class Configurations::Closure {
 public:
  explicit Closure(Configurations& owner) : owner_(owner), rules_(owner.rules_) { ++owner_.closure_; }

  void add(Item item) {
    const Rules::State& state = rules_.state(item.state);
    if (depth_of(item.frame) + state.height > Rules::depth_max) return;
    auto& mark = owner_.seen_[item.state];
    if (mark == owner_.closure_ && std::ranges::find(items_, item) != items_.end()) return;
    mark = owner_.closure_;
    items_.push_back(item);
  }

  Configuration finish() {
    Configuration result;
    for (std::size_t i = 0; i < items_.size(); ++i) expand(items_[i], result);
    settled_.assign(begun_.size(), unknown);
    for (const Item& item : items_) {
      if (!rules_.state(item.state).moves.empty()) result.items.push_back({item.state, settle(item.frame)});
    }
    sort_unique(result.items);
    return result;
  }

 private:
  static constexpr FrameId first_new = FrameId{1} << 31;
  struct Begun {
    Rules::RuleId rule;
    Frame frame;
  };

  [[nodiscard]] std::uint16_t depth_of(FrameId id) const {
    return id >= first_new ? begun_[id - first_new].frame.depth : owner_.frames_[id].depth;
  }

  void expand(Item item, Configuration& result) {
    const Rules::State& state = rules_.state(item.state);
    for (const Rules::StateId to : state.skips) add({to, item.frame});
    for (const Rules::Call& call : state.calls) enter(call, item.frame);
    if (!state.final) return;
    if (item.frame == 0) {
      result.may_end = true;
      return;
    }
    CHECK(item.frame < first_new, "a rule of a grammar is empty");
    for (const Item& back : owner_.frames_[item.frame].returns) add(back);
  }

  void enter(const Rules::Call& call, FrameId frame) {
    const std::uint16_t depth = depth_of(frame);
    if (depth + std::max(rules_.at(call.rule).height, rules_.state(call.back).height) > Rules::depth_max) return;
    const Item back{call.back, frame};
    const auto known = std::ranges::find(begun_, call.rule, &Begun::rule);
    if (known != begun_.end()) {
      known->frame.returns.push_back(back);
      return;
    }
    const Rules::Rule& rule = rules_.at(call.rule);
    begun_.push_back({call.rule, {{back}, static_cast<std::uint16_t>(depth + (rule.opens ? 1 : 0))}});
    add({rule.start, static_cast<FrameId>(first_new + begun_.size() - 1)});
  }

  FrameId settle(FrameId id) {
    if (id < first_new) return id;
    FrameId& settled = settled_[id - first_new];
    if (settled != unknown) return settled;
    Frame frame = begun_[id - first_new].frame;
    for (Item& back : frame.returns) back.frame = settle(back.frame);
    sort_unique(frame.returns);
    return settled = owner_.frame(std::move(frame));
  }

  Configurations& owner_;
  const Rules& rules_;
  std::vector<Item> items_;
  std::vector<Begun> begun_;
  std::vector<FrameId> settled_;
};

// Frame 0 is around the root; configuration 0 is dead.
Configurations::Configurations(const Rules& rules) : rules_(rules), symbols_(rules.symbols()), seen_(rules.states(), 0) {
  frames_.push_back({{}, 0});
  configurations_.emplace_back();
  next_.assign(symbols_, dead);
  configuration_ids_.emplace(key_of(configurations_[dead].items, 0), dead);
  Closure closure(*this);
  closure.add({rules_.at(rules_.root()).start, 0});
  begin_ = configuration(closure.finish());
}

Configurations::Id Configurations::work_out(Id from, Symbol symbol) {
  Closure closure(*this);
  // All symbols from low to high take the same moves.
  int low = 0, high = static_cast<int>(symbols_) - 1;
  for (const Item& item : configurations_[from].items) {
    for (const Rules::Move& move : rules_.state(item.state).moves) {
      if (move.high < symbol) {
        low = std::max(low, move.high + 1);
      } else if (move.low > symbol) {
        high = std::min(high, move.low - 1);
      } else {
        low = std::max<int>(low, move.low);
        high = std::min<int>(high, move.high);
        closure.add({move.to, item.frame});
      }
    }
  }
  const Id to = configuration(closure.finish());
  const auto row = next_.begin() + static_cast<std::ptrdiff_t>(from * symbols_);
  std::fill(row + low, row + high + 1, to);
  return to;
}

Configurations::FrameId Configurations::frame(Frame frame) {
  const auto [known, added] = frame_ids_.emplace(key_of(frame.returns, frame.depth), static_cast<FrameId>(frames_.size()));
  if (added) frames_.push_back(std::move(frame));
  return known->second;
}

Configurations::Id Configurations::configuration(Configuration made) {
  const auto [known, added] = configuration_ids_.emplace(key_of(made.items, made.may_end ? 1 : 0), static_cast<Id>(configurations_.size()));
  if (added) {
    configurations_.push_back(std::move(made));
    next_.resize(next_.size() + symbols_, unknown);
  }
  return known->second;
}

Configurations::Id Configurations::adopt(const Configurations& other, Id id) {
  Configuration adopted = other.configurations_[id];
  std::unordered_map<FrameId, FrameId> known;
  for (Item& item : adopted.items) item.frame = adopt_frame(other, item.frame, known);
  sort_unique(adopted.items);
  return configuration(std::move(adopted));
}

Configurations::FrameId Configurations::adopt_frame(const Configurations& other, FrameId id, std::unordered_map<FrameId, FrameId>& known) {
  if (id == 0) return 0;
  if (const auto found = known.find(id); found != known.end()) return found->second;
  Frame adopted = other.frames_[id];
  for (Item& back : adopted.returns) back.frame = adopt_frame(other, back.frame, known);
  sort_unique(adopted.returns);
  const FrameId made = frame(std::move(adopted));
  known.emplace(id, made);
  return made;
}

}  // namespace godwit::infer
