#include "serve/formats.h"

namespace godwit::serve {

Result<std::shared_ptr<const infer::Grammar>> compile(const Format& format, const std::optional<infer::GrammarVocabulary>& vocabulary) {
  if (format.kind == Format::Kind::text) return std::shared_ptr<const infer::Grammar>();
  if (!vocabulary) return input_error("an answer's format needs a tokenizer, and the model has none");
  if (format.kind == Format::Kind::tool_calls) {
    return infer::Grammar::tool_calls(format.chat_format, format.tools, format.parallel, *vocabulary);
  }
  return infer::Grammar::json(format.schema, *vocabulary);
}

}  // namespace godwit::serve
