// What an answer may look like: JSON, JSON of a schema, or tool calls; compiled once, followed token by token.
//
// The same grammar and the same answer so far allow the same ids. Compiling and following are bounded in time and memory whatever the
// schema; what it cannot hold exactly is an input error that names the keyword and its place, never quietly left out. Which keywords it
// holds, and in which spelling of JSON: grammar/json_schema.h.
//
// A server keeps one GrammarVocabulary for its model and compiles before admission:
//   TRY_ASSIGN(request.grammar, Grammar::json(schema, vocabulary));                          response_format json_schema; "" for
//   json_object TRY_ASSIGN(request.grammar, Grammar::tool_calls(format, tools, parallel, vocabulary));   tool_choice required, or a named
//   function
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace godwit::infer {

class TokenTrie;

// A tokenizer's vocabulary, prepared for grammars: made once (DeepSeek's in a tenth of a second), then shared. A handle, cheap to copy.
class GrammarVocabulary {
 public:
  GrammarVocabulary(const text::Tokenizer& tokenizer);

 private:
  friend class Grammar;
  std::shared_ptr<const TokenTrie> trie_;
};

// Immutable to its users and shared between threads; what its answers work out is kept for the others.
class Grammar {
 public:
  virtual ~Grammar() = default;
  // `schema`: a JSON Schema of at most 64 KiB and 64 levels; empty: any JSON object (response_format json_object).
  [[nodiscard]] static Result<std::shared_ptr<const Grammar>> json(std::string_view schema, const GrammarVocabulary& vocabulary);

  // Calls of these tools and nothing else, in the format's own words: one, or with `parallel` up to sixteen. Arguments fulfil the tool's
  // parameters. text::ToolCallParser reads such an answer.
  [[nodiscard]] static Result<std::shared_ptr<const Grammar>> tool_calls(text::ChatFormat format, std::span<const text::Tool> tools,
                                                                         bool parallel, const GrammarVocabulary& vocabulary);

  // One answer's way through it. Not thread-safe; the grammar outlives it.
  class State {
   public:
    virtual ~State() = default;
    // Sets allowed[i] for every id that may follow, of `vocabulary` many; the end-of-sequence id where the answer may end. At least one is.
    // Other special and added tokens never are, but those of tool calls in their places.
    virtual void allowed(std::span<std::uint8_t> allowed) const = 0;
    // The id was chosen. False, and nothing changed, where it was not allowed.
    [[nodiscard]] virtual bool push(std::int32_t id) = 0;
    [[nodiscard]] virtual bool may_end() const = 0;
  };
  [[nodiscard]] virtual std::unique_ptr<State> begin() const = 0;
};

}  // namespace godwit::infer
