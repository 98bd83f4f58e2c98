#include "infer/grammar/token_trie.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace godwit::infer {
namespace {

// No sensible token is longer; one that is cannot be chosen.
constexpr std::size_t token_bytes_max = 1024;

bool is_plain(std::string_view bytes) {
  const bool as_they_are =
      std::ranges::none_of(bytes, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; });
  return as_they_are && text::valid_run_end(bytes, 0) == bytes.size();
}

}  // namespace

TokenTrie::TokenTrie(text::Tokenizer tokenizer)
    : tokenizer_(std::move(tokenizer)), same_bytes_(tokenizer_.vocab_size(), -1), within_(tokenizer_.vocab_size(), false) {
  std::vector<std::pair<std::string_view, std::int32_t>> tokens;
  for (std::int32_t id = 0; id < tokenizer_.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer_.token_bytes(id);
    if (bytes.empty() || bytes.size() > token_bytes_max || tokenizer_.is_special(id) || tokenizer_.is_added(id)) continue;
    tokens.emplace_back(bytes, id);
    within_[id] = true;
  }
  std::ranges::sort(tokens);
  std::vector<std::uint32_t> path;  // of the last token
  std::string_view last;
  const auto close = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
  };
  for (const auto& [bytes, id] : tokens) {
    const bool plain = is_plain(bytes);
    if (plain) plain_.push_back(id);
    if (bytes == last) {
      same_bytes_[id] = std::exchange(nodes_[path.back()].id, id);
      continue;
    }
    close(static_cast<std::size_t>(std::ranges::mismatch(bytes, last).in1 - bytes.begin()));
    for (std::size_t i = path.size(); i < bytes.size(); ++i) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, -1, static_cast<std::uint16_t>(i + 1), static_cast<std::uint8_t>(bytes[i]), true});
    }
    if (!plain) {
      for (const std::uint32_t node : path) nodes_[node].only_plain = false;
    }
    nodes_[path.back()].id = id;
    depth_max_ = std::max(depth_max_, static_cast<std::uint16_t>(bytes.size()));
    if (bytes.size() == 1) has_byte_[static_cast<std::uint8_t>(bytes[0])] = true;
    last = bytes;
  }
  close(0);
}

std::string_view TokenTrie::bytes(std::int32_t id) const {
  return id >= 0 && id < vocabulary() && within_[id] ? tokenizer_.token_bytes(id) : std::string_view();
}

}  // namespace godwit::infer
