#include "store/export_gguf.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <system_error>

#include "base/log.h"
#include "store/gguf_deepseek2.h"
#include "store/gguf_tokenizer.h"

namespace godwit::store {
namespace {

struct Kind {
  std::string_view name;
  GgufType type;
  std::uint32_t file_type;  // llama.cpp's number for a file most of whose tensors are of the type
};
constexpr std::array<Kind, 3> kinds = {{{"f32", GgufType::f32, 0}, {"bf16", GgufType::bf16, 32}, {"q8_0", GgufType::q8_0, 7}}};
constexpr std::uint32_t quantization_version = 2;  // of ggml's block formats

Result<Kind> find_kind(std::string_view name) {
  for (const auto& kind : kinds) {
    if (kind.name == name) return kind;
  }
  return input_error("cannot quantize as '{}'; f32, bf16 and q8_0 are written", name);
}

}  // namespace

Result<void> export_gguf(const ModelSource& source, const fs::path& path, const std::string& type, const GgufProgress& progress) {
  TRY_ASSIGN(const Kind kind, find_kind(type));
  std::error_code ignored;
  if (fs::exists(fs::symlink_status(path, ignored)))
    return input_error("{}: exists; nothing is written over, name a new file", path.string());
  TRY_ASSIGN(const auto tokenizer, source.tokenizer());
  TRY_ASSIGN(auto architecture, deepseek2_keys(source));
  TRY_ASSIGN(auto words, gguf_tokenizer(tokenizer, source.model().vocab_size(), source.description()));
  if (!tokenizer) log_warning("{}: has no tokenizer, so the file has none; it takes ids only", source.description());
  if (source.model().has_mtp())
    log_info("{}: the MTP layer is left out, llama.cpp has no use for it in this architecture", source.description());

  std::vector<GgufKey> keys = {{"general.architecture", std::string("deepseek2")},
                               {"general.type", std::string("model")},
                               {"general.name", path.stem().string()},
                               {"general.file_type", kind.file_type},
                               {"general.quantization_version", quantization_version}};
  keys.insert(keys.end(), std::make_move_iterator(architecture.begin()), std::make_move_iterator(architecture.end()));
  keys.insert(keys.end(), std::make_move_iterator(words.begin()), std::make_move_iterator(words.end()));
  const auto tensors = deepseek2_tensors(source, kind.type);
  if (kind.type == GgufType::q8_0) {
    const auto odd = std::count_if(tensors.begin(), tensors.end(), [](const auto& t) { return t.shape.back() % q8_0_elements != 0; });
    if (odd > 0) log_warning("{}: {} tensors have rows that are not blocks of {}; they stay f32", source.description(), odd, q8_0_elements);
  }
  return write_gguf(path, keys, tensors, progress);
}

}  // namespace godwit::store
