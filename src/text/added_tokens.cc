#include "text/added_tokens.h"

#include <algorithm>

#include "base/check.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace godwit::text {
namespace {

// \w as Rust's regex has it; the text is one character.
bool is_word_character(std::string_view character) {
  static const Regex word = [] {
    auto regex = Regex::compile(
        "\\A[\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}"
        "\\x{1F170}-\\x{1F189}\\x{200C}\\x{200D}]",
        "word characters");
    CHECK(regex.ok(), "{}", regex.error().message);
    return std::move(regex).value();
  }();
  RegexScratch scratch;
  Match match;
  return word.next({character, has_newer_characters(character)}, 0, scratch, match) == MatchStatus::found;
}

std::size_t last_character(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return begin;
}

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word_character(text.substr(last_character(text)));
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word_character(text.substr(0, character_length(text, 0)));
}

std::size_t blanks_begin(std::string_view text) {
  while (!text.empty()) {
    const std::size_t begin = last_character(text);
    if (!is_white_space(code_point(text, begin))) break;
    text = text.substr(0, begin);
  }
  return text.size();
}

std::size_t blanks_end(std::string_view text, std::size_t position) {
  while (position < text.size() && is_white_space(code_point(text, position))) position += character_length(text, position);
  return position;
}

}  // namespace

void AddedTokenFinder::build(const std::vector<AddedToken>& tokens, bool normalized) {
  nodes_.assign(1, Node{});
  for (std::size_t index = 0; index < tokens.size(); ++index) {
    if (tokens[index].normalized != normalized) continue;
    std::int32_t node = 0;
    for (const char byte : tokens[index].content) {
      std::int32_t next = child(node, byte);
      if (next < 0) {
        next = static_cast<std::int32_t>(nodes_.size());
        nodes_.push_back(Node{-1, nodes_[static_cast<std::size_t>(node)].first_child, -1, byte});
        nodes_[static_cast<std::size_t>(node)].first_child = next;
      }
      node = next;
    }
    nodes_[static_cast<std::size_t>(node)].token = static_cast<std::int32_t>(index);
  }
}

std::int32_t AddedTokenFinder::child(std::int32_t node, char byte) const {
  std::int32_t next = nodes_[static_cast<std::size_t>(node)].first_child;
  while (next >= 0 && nodes_[static_cast<std::size_t>(next)].byte != byte) next = nodes_[static_cast<std::size_t>(next)].next_sibling;
  return next;
}

// The order of the tests, and that a match swallowed by its neighbour's rstrip still counts, is Hugging Face's.
void AddedTokenFinder::cut(std::string_view text, const std::vector<AddedToken>& tokens, std::vector<Cut>& cuts) const {
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && nodes_.size() > 1;) {
    std::int32_t found = -1;
    std::size_t match_end = at;
    std::int32_t node = child(0, text[at]);
    for (std::size_t i = at + 1; node >= 0; ++i) {
      if (nodes_[static_cast<std::size_t>(node)].token >= 0) {
        found = nodes_[static_cast<std::size_t>(node)].token;
        match_end = i;
      }
      if (i == text.size()) break;
      node = child(node, text[i]);
    }
    if (found < 0) {
      ++at;
      continue;
    }
    std::size_t begin = at, end = match_end;
    at = match_end;
    const AddedToken& token = tokens[static_cast<std::size_t>(found)];
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(blanks_begin(text.substr(0, begin)), done);
    if (token.rstrip) end = blanks_end(text, end);
    if (done < begin) cuts.push_back({text.substr(done, begin - done), -1});
    cuts.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) cuts.push_back({text.substr(done), -1});
}

}  // namespace godwit::text
