// The text of an answer as it grows, id by id: whole characters only, cut at the first stop string.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace godwit::infer {

// Stop strings must be valid UTF-8 and not empty (input error).
[[nodiscard]] Result<void> check_stop_strings(const std::vector<std::string>& stops);

// Each byte that belongs to no character becomes U+FFFD.
[[nodiscard]] std::string readable(std::string_view bytes);

// A stop string ends the answer at the first character that completes one, wherever the borders of tokens lie; of several completed there
// the longest counts. It and what follows are not shown, nor are special tokens. What might yet become a stop string is held back. The
// pieces are valid UTF-8 (readable). Not thread-safe.
class AnswerText {
 public:
  AnswerText(const text::Tokenizer& tokenizer, std::vector<std::string> stops) : decoder_(tokenizer, false), stops_(std::move(stops)) {}

  struct Piece {
    std::string text;
    bool stopped = false;
  };
  // After a stop nothing may be pushed.
  [[nodiscard]] Piece push(std::int32_t id);
  // What was held back, where no stop came.
  [[nodiscard]] std::string finish();

 private:
  text::StreamDecoder decoder_;
  std::vector<std::string> stops_;
  std::string held_;
};

}  // namespace godwit::infer
