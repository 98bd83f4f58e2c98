// Tokens that are single characters, for small models: each character of a text is one id, and a character without a token is an error.
//
// In tokenizer.json that is a WordLevel model over pieces of one character (Split at every character, joined again by Fuse), whose
// unk_token is not in the vocabulary: Hugging Face's tokenizers then refuse an unknown character too, where their BPE would leave it out
// silently.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace godwit::text {

// What make_characters_json writes, and all that is_characters_file's files may have.
[[nodiscard]] Json characters_pre_tokenizer();
[[nodiscard]] Json characters_decoder();

// The file has a WordLevel model.
[[nodiscard]] bool is_characters_file(const Json& file);
// That it splits, joins and refuses as said above; errors name the part.
[[nodiscard]] Result<void> check_characters_file(const Json& file, std::string_view name);

// Immutable once filled.
class Characters {
 public:
  [[nodiscard]] bool empty() const { return ids_.empty(); }
  // `character` is one character of UTF-8.
  void add(const std::string& character, std::int32_t id) { ids_.emplace(character, id); }
  // Appends the ids of a part of `text`. An input error names the first character that has none, and its place in the text.
  [[nodiscard]] Result<void> encode(std::string_view part, std::string_view text, std::vector<std::int32_t>& ids) const;

 private:
  [[nodiscard]] Error unknown(std::string_view text, std::size_t position) const;

  std::unordered_map<std::string, std::int32_t> ids_;
};

}  // namespace godwit::text
