// The engine's process: takes orders from a descriptor, runs the engine, reports every step.
#pragma once

#include <optional>

#include "base/error.h"
#include "infer/engine.h"
#include "infer/grammar.h"
#include "serve/engine_messages.h"

namespace godwit::serve {

// Says that it is ready, then works until the server closes the link (which is no error). A step that fails is told to the server and
// returned. Writes and, without work, reads wait: nobody else is kept waiting here.
[[nodiscard]] Result<void> work(infer::Engine& engine, const Ready& ready, const std::optional<infer::GrammarVocabulary>& vocabulary,
                                int link);

// What could not even begin, told to the server.
void tell_failure(const Error& error, int link);

}  // namespace godwit::serve
