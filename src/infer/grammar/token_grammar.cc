#include "infer/grammar/token_grammar.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "infer/grammar/characters_of_json.h"
#include "infer/grammar/configurations.h"

namespace godwit::infer {
namespace {

// A bit for every id.
using Mask = std::vector<std::uint8_t>;
constexpr std::size_t masks_bytes_max = 8 << 20;

// What was worked out so far. When it is full a new one is begun, and answers move there.
struct Followed {
  explicit Followed(const Rules& rules) : configurations(rules) {}
  Configurations configurations;
  std::unordered_map<Configurations::Id, Mask> masks;
};

// Where an answer is: a configuration, and of which Followed.
struct Place {
  std::shared_ptr<Followed> followed;
  Configurations::Id id;
};

// Each bit as a byte.
void write_bytes(const Mask& mask, std::span<std::uint8_t> bytes) {
  static constexpr auto table = [] {
    std::array<std::array<std::uint8_t, 8>, 256> all{};
    for (std::size_t bits = 0; bits < 256; ++bits) {
      for (std::size_t i = 0; i < 8; ++i) all[bits][i] = (bits >> i) & 1;
    }
    return all;
  }();
  const std::size_t whole = std::min(mask.size(), bytes.size() / 8);
  for (std::size_t i = 0; i < whole; ++i) std::memcpy(&bytes[i * 8], table[mask[i]].data(), 8);
  for (std::size_t i = whole * 8; i < bytes.size(); ++i) bytes[i] = i / 8 < mask.size() ? (mask[i / 8] >> (i % 8)) & 1 : 0;
}

// Every character that a JSON string holds as it is leads back to where it came: then plain tokens may follow, and need no walk.
bool returns_after_characters(Configurations& configurations, Configurations::Id id) {
  bool returns = true;
  for (const auto& [low, high] : {std::pair(0x20u, 0x21u), std::pair(0x23u, 0x5Bu), std::pair(0x5Du, CodePoints::last)}) {
    utf8_ranges(low, high, [&](std::span<const ByteRange> character) {
      std::vector<Configurations::Id> at{id};
      for (const ByteRange& bytes : character) {
        std::vector<Configurations::Id> next;
        for (const Configurations::Id from : at) {
          for (unsigned byte = bytes.low; returns && byte <= bytes.high; ++byte) {
            const Configurations::Id to = configurations.step(from, static_cast<Symbol>(byte));
            if (std::ranges::find(next, to) == next.end()) next.push_back(to);
            returns = to != Configurations::dead && next.size() <= 4;
          }
        }
        at = std::move(next);
      }
      returns = returns && at == std::vector{id};
    });
    if (!returns) break;
  }
  return returns;
}

class TokenGrammar : public Grammar, public std::enable_shared_from_this<TokenGrammar> {
 public:
  TokenGrammar(Rules rules, std::vector<std::int32_t> controls, std::int32_t eos, std::shared_ptr<const TokenTrie> trie)
      : rules_(std::move(rules)), controls_(std::move(controls)), eos_(eos), trie_(std::move(trie)) {
    followed_ = std::make_shared<Followed>(rules_);
  }

  [[nodiscard]] std::unique_ptr<State> begin() const override;

  // All of these take the lock.
  [[nodiscard]] Place start() const {
    const std::lock_guard lock(mutex_);
    return {followed_, followed_->configurations.begin()};
  }
  void allowed(Place& place, std::span<std::uint8_t> allowed) const {
    const std::lock_guard lock(mutex_);
    renew_if_full(place);
    auto known = place.followed->masks.find(place.id);
    if (known == place.followed->masks.end()) {
      Mask mask = walk(place);
      auto& masks = place.followed->masks;  // of where the walk ended: it may have begun anew
      if ((masks.size() + 1) * mask.size() > masks_bytes_max) masks.clear();
      known = masks.emplace(place.id, std::move(mask)).first;
    }
    write_bytes(known->second, allowed);
  }
  [[nodiscard]] bool push(Place& place, std::int32_t id) const {
    const std::lock_guard lock(mutex_);
    if (id == eos_) return place.followed->configurations.may_end(place.id);
    renew_if_full(place);
    Configurations& configurations = place.followed->configurations;
    const auto control = std::ranges::find(controls_, id);
    Configurations::Id at = place.id;
    if (control != controls_.end()) {
      at = configurations.step(at, symbol_of(static_cast<std::size_t>(control - controls_.begin())));
    } else {
      const std::string_view bytes = trie_->bytes(id);
      if (bytes.empty()) return false;
      for (const char byte : bytes) at = configurations.step(at, static_cast<std::uint8_t>(byte));
    }
    if (at == Configurations::dead) return false;
    place.id = at;
    return true;
  }
  [[nodiscard]] bool may_end(const Place& place) const {
    const std::lock_guard lock(mutex_);
    return place.followed->configurations.may_end(place.id);
  }

 private:
  static Symbol symbol_of(std::size_t control) { return static_cast<Symbol>(first_control + control); }

  // Moves the place, and all that lead to it, to a Followed that has room.
  void renew(std::shared_ptr<Followed>& followed, std::span<Configurations::Id> ids) const {
    if (followed == followed_ || followed_->configurations.full()) followed_ = std::make_shared<Followed>(rules_);
    for (Configurations::Id& id : ids) id = followed_->configurations.adopt(followed->configurations, id);
    followed = followed_;
  }
  void renew_if_full(Place& place) const {
    if (place.followed->configurations.full()) renew(place.followed, {&place.id, 1});
  }

  // Which tokens may follow: every branch of the tree as far as the grammar follows it.
  [[nodiscard]] Mask walk(Place& place) const {
    Mask mask(static_cast<std::size_t>(trie_->vocabulary() + 7) / 8, 0);
    const auto allow = [&](std::int32_t id) { mask[static_cast<std::size_t>(id) / 8] |= static_cast<std::uint8_t>(1 << (id % 8)); };
    std::vector<Configurations::Id> path(trie_->depth_max() + 1u, Configurations::dead);
    path[0] = place.id;
    const bool in_text = returns_after_characters(place.followed->configurations, place.id);
    if (in_text) std::ranges::for_each(trie_->plain(), allow);
    const std::vector<TokenTrie::Node>& nodes = trie_->nodes();
    for (std::size_t i = 0; i < nodes.size();) {
      const TokenTrie::Node& node = nodes[i];
      if (in_text && node.only_plain) {
        i = node.end;
        continue;
      }
      if (place.followed->configurations.full()) renew(place.followed, std::span(path).first(node.depth));
      const Configurations::Id next = place.followed->configurations.step(path[node.depth - 1u], node.byte);
      if (next == Configurations::dead) {
        i = node.end;
        continue;
      }
      path[node.depth] = next;
      for (std::int32_t id = node.id; id >= 0; id = trie_->same_bytes(id)) allow(id);
      ++i;
    }
    place.id = path[0];
    Configurations& configurations = place.followed->configurations;
    for (std::size_t i = 0; i < controls_.size(); ++i) {
      if (configurations.step(place.id, symbol_of(i)) != Configurations::dead) allow(controls_[i]);
    }
    if (configurations.may_end(place.id)) allow(eos_);
    return mask;
  }

  Rules rules_;
  std::vector<std::int32_t> controls_;
  std::int32_t eos_;
  std::shared_ptr<const TokenTrie> trie_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<Followed> followed_;  // where new answers begin
};

class TokenState : public Grammar::State {
 public:
  explicit TokenState(std::shared_ptr<const TokenGrammar> grammar) : grammar_(std::move(grammar)), place_(grammar_->start()) {}
  void allowed(std::span<std::uint8_t> allowed) const override { grammar_->allowed(place_, allowed); }
  [[nodiscard]] bool push(std::int32_t id) override { return grammar_->push(place_, id); }
  [[nodiscard]] bool may_end() const override { return grammar_->may_end(place_); }

 private:
  std::shared_ptr<const TokenGrammar> grammar_;
  mutable Place place_;  // the same place may move to another Followed
};

std::unique_ptr<Grammar::State> TokenGrammar::begin() const {
  return std::make_unique<TokenState>(shared_from_this());
}

}  // namespace

Result<std::shared_ptr<const Grammar>> token_grammar(Rules rules, Rules::RuleId root, std::vector<std::int32_t> controls,
                                                     std::shared_ptr<const TokenTrie> trie) {
  const std::optional<std::int32_t> eos = trie->tokenizer().eos();
  if (!eos) return input_error("the tokenizer has no end of sequence, so an answer that follows a grammar could not end");
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!trie->has_byte(static_cast<std::uint8_t>(byte))) rules.forget_byte(static_cast<std::uint8_t>(byte));
  }
  TRY(rules.finish(root));
  return std::shared_ptr<const Grammar>(std::make_shared<TokenGrammar>(std::move(rules), std::move(controls), *eos, std::move(trie)));
}

}  // namespace godwit::infer
