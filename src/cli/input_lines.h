// Standard input, line by line, for commands that answer each line: a program at the other end may wait for an answer before it asks again.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace godwit::cli {

// Not thread-safe.
class InputLines {
 public:
  explicit InputLines(int descriptor = 0) : descriptor_(descriptor) {}
  // The next line without its end; nothing at the end of the input. Hands standard output's buffer on before it waits for more.
  [[nodiscard]] Result<std::optional<std::string>> next();
  // The number of the line that was returned last, counted from 1.
  [[nodiscard]] std::size_t number() const { return number_; }

 private:
  int descriptor_;
  std::string buffer_;
  std::size_t begin_ = 0;  // of what was not returned yet
  bool ended_ = false;
  std::size_t number_ = 0;
};

}  // namespace godwit::cli
