// A tokenizer in GGUF's words: llama.cpp's "gpt2" kind, byte-level BPE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/gguf.h"
#include "text/tokenizer.h"

namespace godwit::store {

// The keys tokenizer.*, the list of tokens filled up to `vocab_size`. A model without a tokenizer says so: its file takes ids only.
//
// Text must become the same ids in llama.cpp, which knows a pre-tokenizer by name only, so an input error says which part it has no word
// for: any pre-tokenizer but DeepSeek-V3's, single-character tokens beyond ASCII, more than BOS put around a text. `name` opens it.
[[nodiscard]] Result<std::vector<GgufKey>> gguf_tokenizer(const std::optional<text::Tokenizer>& tokenizer, std::int64_t vocab_size,
                                                          const std::string& name);

}  // namespace godwit::store
