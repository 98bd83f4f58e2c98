// Added tokens: strings that are cut out of the text before anything else looks at it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::text {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false;       // swallows the blanks before it
  bool rstrip = false;       // swallows the blanks after it
  bool normalized = false;   // looked for in a second round, in what the others left
  bool special = false;
};

// Part of a text: an added token, or (id < 0) the text between two.
struct Cut {
  std::string_view text;
  std::int32_t id;
};

// Finds a set of tokens: leftmost first, the longest of those that begin at one place. Immutable once built.
class AddedTokenFinder {
 public:
  // Takes those of `tokens` whose `normalized` is as given; keeps their indices, so `tokens` must stay and be passed to cut().
  void build(const std::vector<AddedToken>& tokens, bool normalized);

  // The parts of valid UTF-8 `text`, in order. Empty stretches are left out.
  void cut(std::string_view text, const std::vector<AddedToken>& tokens, std::vector<Cut>& cuts) const;

 private:
  // A trie as arrays; the children of a node are a chain of siblings.
  struct Node {
    std::int32_t first_child = -1, next_sibling = -1, token = -1;
    char byte = 0;
  };
  std::int32_t child(std::int32_t node, char byte) const;

  std::vector<Node> nodes_;
};

}  // namespace godwit::text
