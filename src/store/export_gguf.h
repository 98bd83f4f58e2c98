// A model as one file for llama.cpp and its relatives.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.h"
#include "store/gguf.h"
#include "store/model_source.h"

namespace godwit::store {

// Writes weights, tokenizer and chat template as GGUF, architecture "deepseek2". `type` is "f32", "bf16" or "q8_0"; see deepseek2_tensors
// for what stays F32 nevertheless. Refuses a path that exists, and whatever llama.cpp would read as another model than this one. An MTP
// layer is left out, as llama.cpp's own converter does. Written aside and renamed: after an error there is nothing.
[[nodiscard]] Result<void> export_gguf(const ModelSource& source, const std::filesystem::path& path, const std::string& type,
                                       const GgufProgress& progress);

}  // namespace godwit::store
