#include "text/characters.h"

#include <algorithm>

#include "text/fields.h"
#include "text/utf8.h"

namespace godwit::text {
namespace {

constexpr std::size_t shown_bytes_max = 80;

// A character as people see it in a message.
std::string shown(std::string_view character) {
  if (character == "\n") return "a line feed";
  if (character == "\t") return "a tab";
  if (character.size() == 1 && static_cast<unsigned char>(character[0]) >= 0x80) {
    return fmt::format("the byte 0x{:02X}, which is not UTF-8", static_cast<unsigned char>(character[0]));
  }
  const char32_t c = code_point(character, 0);
  if (c < 0x20 || c == 0x7F) return fmt::format("the control character U+{:04X}", static_cast<std::uint32_t>(c));
  return fmt::format("'{}' (U+{:04X})", character, static_cast<std::uint32_t>(c));
}

}  // namespace

Json characters_pre_tokenizer() {
  return {{"type", "Split"}, {"pattern", {{"Regex", "[\\s\\S]"}}}, {"behavior", "Isolated"}, {"invert", false}};
}

Json characters_decoder() {
  return {{"type", "Fuse"}};
}

bool is_characters_file(const Json& file) {
  const Json* model = file.find("model");
  const Json* type = model == nullptr ? nullptr : model->find("type");
  return type != nullptr && *type == "WordLevel";
}

Result<void> check_characters_file(const Json& file, std::string_view name) {
  const auto check = [&](const char* key, const Json& wanted) -> Result<void> {
    const Json* found = file.find(key);
    if (found != nullptr && *found == wanted) return {};
    return input_error("{}: {} is {}; with a WordLevel model only {} is supported", name, key,
                       found == nullptr ? "missing" : write_json(*found), write_json(wanted));
  };
  TRY(check("pre_tokenizer", characters_pre_tokenizer()));
  TRY(check("decoder", characters_decoder()));
  const Json& model = file["model"];
  TRY(only_fields(model, {"type", "vocab", "unk_token"}, fmt::format("{}: model", name)));
  const Json* vocabulary = model.find("vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return {};  // whoever reads the tokens says so
  const Json* unknown = model.find("unk_token");
  if (unknown != nullptr && unknown->is_string() && vocabulary->contains(unknown->string())) {
    return input_error("{}: model: unk_token {} is in the vocabulary; a character without a token would silently become it", name,
                       unknown->string());
  }
  std::vector<std::string> added;
  if (const Json* list = file.find("added_tokens"); list != nullptr && list->is_array()) {
    for (const Json& entry : *list) {
      const Json* content = entry.find("content");
      if (content != nullptr && content->is_string()) added.push_back(content->string());
    }
  }
  for (const auto& [spelling, id] : vocabulary->items()) {
    const bool known = character_length(spelling, 0) == spelling.size() || std::ranges::find(added, spelling) != added.end();
    if (!known) return input_error("{}: model: the token {} is neither one character nor an added token", name, spelling);
  }
  return {};
}

Result<void> Characters::encode(std::string_view part, std::string_view text, std::vector<std::int32_t>& ids) const {
  std::string character;
  for (std::size_t position = 0; position < part.size(); position += character.size()) {
    const std::size_t length = character_length(part, position);
    character = part.substr(position, std::max<std::size_t>(length, 1));
    const auto found = length == 0 ? ids_.end() : ids_.find(character);
    if (found == ids_.end()) return unknown(text, static_cast<std::size_t>(part.data() - text.data()) + position);
    ids.push_back(found->second);
  }
  return {};
}

Error Characters::unknown(std::string_view text, std::size_t position) const {
  std::size_t line = 1, line_begin = 0;
  for (std::size_t i = 0; i < position; ++i) {
    if (text[i] != '\n') continue;
    ++line;
    line_begin = i + 1;
  }
  std::size_t column = 1;
  for (std::size_t i = line_begin; i < position; i += std::max<std::size_t>(character_length(text, i), 1)) ++column;
  const std::size_t length = std::max<std::size_t>(character_length(text, position), 1);
  std::string_view before = text.substr(line_begin, position - line_begin);
  if (before.size() > shown_bytes_max) {
    before.remove_prefix(before.size() - shown_bytes_max);
    while (!before.empty() && (static_cast<unsigned char>(before.front()) & 0xC0) == 0x80) before.remove_prefix(1);
  }
  std::string known;
  for (const auto& [character, id] : ids_) known += character == "\n" ? "" : character;
  std::ranges::sort(known);
  return input_error(
      "{} at line {}, column {} of the text{} is not one of the tokenizer's {} characters ({}{}); leave it out, or take a "
      "tokenizer that has it, such as kind = \"bytes\"",
      shown(text.substr(position, length)), line, column, before.empty() ? "" : fmt::format(" (behind \"{}\")", before), ids_.size(), known,
      ids_.contains("\n") ? " and the line feed" : "");
}

}  // namespace godwit::text
