// The bytes of a vocabulary's tokens as one tree, so that what tokens begin alike is followed once for all of them.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace godwit::infer {

// Immutable, shared between threads. Without tokens that stand for no text: special and added ones.
class TokenTrie {
 public:
  explicit TokenTrie(text::Tokenizer tokenizer);

  // In preorder; the root is not among them.
  struct Node {
    std::uint32_t end;    // behind the last node below this one
    std::int32_t id;      // of the token that ends here, or -1
    std::uint16_t depth;  // 1 for a token's first byte
    std::uint8_t byte;
    bool only_plain;  // so are all tokens that end here or below
  };
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  // The next id with the same bytes, or -1.
  [[nodiscard]] std::int32_t same_bytes(std::int32_t id) const { return same_bytes_[id]; }
  [[nodiscard]] std::uint16_t depth_max() const { return depth_max_; }
  // Plain tokens are whole characters that a JSON string holds as they are: most of a vocabulary, and all alike inside a string.
  [[nodiscard]] const std::vector<std::int32_t>& plain() const { return plain_; }
  [[nodiscard]] bool has_byte(std::uint8_t byte) const { return has_byte_[byte]; }

  [[nodiscard]] std::int32_t vocabulary() const { return tokenizer_.vocab_size(); }
  // The token's bytes where it is in the tree, else empty.
  [[nodiscard]] std::string_view bytes(std::int32_t id) const;
  [[nodiscard]] const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  text::Tokenizer tokenizer_;
  std::vector<Node> nodes_;
  std::vector<std::int32_t> same_bytes_;
  std::vector<bool> within_;
  std::vector<std::int32_t> plain_;
  std::array<bool, 256> has_byte_{};
  std::uint16_t depth_max_ = 0;
};

}  // namespace godwit::infer
