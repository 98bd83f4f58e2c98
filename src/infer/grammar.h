// What an answer may look like: JSON, JSON of a schema, or a tool call; compiled once, followed token by token.
//
// The same grammar and the same answer so far allow the same ids. Compiling and following are bounded in time and memory whatever the
// schema; what it cannot hold exactly is an input error that names the keyword and its place, never quietly left out.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace godwit::infer {

// Immutable, shared between threads.
class Grammar {
 public:
  virtual ~Grammar() = default;
  // `schema`: a JSON Schema; empty: any JSON object (response_format json_object).
  [[nodiscard]] static Result<std::shared_ptr<const Grammar>> json(std::string_view schema, const text::Tokenizer& tokenizer);

  // One answer's way through it. Not thread-safe; the grammar outlives it.
  class State {
   public:
    virtual ~State() = default;
    // Sets allowed[i] for every id that may follow, of `vocabulary` many; the end-of-sequence id where the answer may end. At least one is.
    virtual void allowed(std::span<std::uint8_t> allowed) const = 0;
    // The id was chosen. False, and nothing changed, where it was not allowed.
    [[nodiscard]] virtual bool push(std::int32_t id) = 0;
    [[nodiscard]] virtual bool may_end() const = 0;
  };
  [[nodiscard]] virtual std::unique_ptr<State> begin() const = 0;
};

}  // namespace godwit::infer
