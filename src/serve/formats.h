// What an answer must look like, as a grammar that the engine follows.
#pragma once

#include <memory>
#include <optional>

#include "base/error.h"
#include "infer/grammar.h"
#include "serve/request_parser.h"

namespace godwit::serve {

// Nothing for plain text. Compiled twice from the same words: by the server, so that a schema that cannot be followed is refused before
// anything is begun, and by the engine's process.
[[nodiscard]] Result<std::shared_ptr<const infer::Grammar>> compile(const Format& format,
                                                                    const std::optional<infer::GrammarVocabulary>& vocabulary);

}  // namespace godwit::serve
