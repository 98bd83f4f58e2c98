#include "store/gguf_tokenizer.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "base/json.h"
#include "text/characters.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace godwit::store {
namespace {

// llama.cpp's numbers of token types.
enum TokenType : std::int32_t { normal = 1, control = 3, user_defined = 4, unused = 5 };

// The regexes that split a text, in order, and whether ByteLevel follows without splitting or adding anything itself.
bool is_deepseek(const Json& pre_tokenizer) {
  const auto regexes = [](const Json& parts) {
    std::vector<std::string> found;
    if (!parts.contains("pretokenizers")) return found;
    for (const Json& part : parts["pretokenizers"]) {
      if (part.value("type", std::string()) == "Split") {
        if (part["behavior"] != "Isolated" || part.value("invert", false)) return std::vector<std::string>();
        found.push_back(write_json(part["pattern"]));
      } else if (part.value("type", std::string()) == "ByteLevel") {
        if (part.value("use_regex", true) || part.value("add_prefix_space", true)) return std::vector<std::string>();
        found.emplace_back("bytes");
      } else {
        return std::vector<std::string>();
      }
    }
    return found;
  };
  const auto wanted = regexes(text::deepseek_pre_tokenizer());
  return regexes(pre_tokenizer) == wanted;
}

std::vector<std::string> merges_of(const Json& model) {
  std::vector<std::string> merges;
  for (const Json& merge : model["merges"]) {
    merges.push_back(merge.is_string() ? merge.string() : merge[0].string() + " " + merge[1].string());
  }
  return merges;
}

}  // namespace

Result<std::vector<GgufKey>> gguf_tokenizer(const std::optional<text::Tokenizer>& tokenizer, std::int64_t vocab_size,
                                            const std::string& name) {
  if (!tokenizer) return std::vector<GgufKey>{{"tokenizer.ggml.model", std::string("none")}};
  if (tokenizer->vocab_size() > vocab_size) {
    return input_error("{}: the tokenizer has {} ids, the model {}; llama.cpp takes as many as the model has", name,
                       tokenizer->vocab_size(), vocab_size);
  }
  TRY_ASSIGN(const Json file, parse_json(tokenizer->json(), name + ": tokenizer.json"));
  // Single characters are a byte-level BPE without merges, as long as each is one byte.
  const bool characters = text::is_characters_file(file);
  if (!characters && !is_deepseek(file["pre_tokenizer"])) {
    return input_error("{}: tokenizer.json: pre_tokenizer is not DeepSeek-V3's, and llama.cpp's name for it is not known", name);
  }
  if (!characters && file["model"].value("ignore_merges", false)) {
    return input_error("{}: tokenizer.json: ignore_merges is true, which llama.cpp does not do with DeepSeek-V3's pre-tokenizer", name);
  }

  std::unordered_map<std::int64_t, const Json*> added;
  if (const Json* list = file.find("added_tokens")) {
    for (const Json& token : *list) added.emplace(token["id"].get<std::int64_t>(), &token);
  }
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  for (std::int32_t id = 0; id < vocab_size; ++id) {
    if (const auto found = added.find(id); found != added.end()) {
      tokens.push_back((*found->second)["content"].string());
      types.push_back((*found->second).value("special", false) ? control : user_defined);
    } else if (const std::string_view bytes = tokenizer->token_bytes(id); bytes.empty()) {
      tokens.push_back(fmt::format("[PAD{}]", id));
      types.push_back(unused);
    } else {
      if (characters && bytes.size() > 1) {
        return input_error("{}: the token {} ('{}') is one character of {} bytes, for which llama.cpp has no kind of tokenizer", name, id,
                           bytes, bytes.size());
      }
      tokens.push_back(text::spelling_of_bytes(bytes));
      types.push_back(normal);
    }
  }

  TRY_ASSIGN(const auto around, tokenizer->encode("", {.add_special = true}));
  const bool add_bos = !around.empty();
  if (add_bos && (around.size() != 1 || tokenizer->bos() != around.front())) {
    return input_error("{}: tokenizer.json: post_processor puts {} tokens around a text; llama.cpp's kind puts BOS in front or nothing",
                       name, around.size());
  }

  std::vector<GgufKey> keys = {{"tokenizer.ggml.model", std::string("gpt2")},
                               {"tokenizer.ggml.pre", std::string("deepseek-v3")},
                               {"tokenizer.ggml.tokens", std::move(tokens)},
                               {"tokenizer.ggml.token_type", std::move(types)},
                               {"tokenizer.ggml.merges", characters ? std::vector<std::string>() : merges_of(file["model"])},
                               {"tokenizer.ggml.add_bos_token", add_bos},
                               {"tokenizer.ggml.add_eos_token", false}};
  const auto id = [&](const char* key, std::optional<std::int32_t> token) {
    if (token) keys.push_back({fmt::format("tokenizer.ggml.{}_token_id", key), static_cast<std::uint32_t>(*token)});
  };
  id("bos", tokenizer->bos());
  id("eos", tokenizer->eos());
  id("padding", tokenizer->pad());
  if (!tokenizer->chat_template().empty()) keys.push_back({"tokenizer.chat_template", tokenizer->chat_template()});
  return keys;
}

}  // namespace godwit::store
