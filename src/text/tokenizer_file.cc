#include "text/tokenizer_file.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "text/characters.h"
#include "text/special_tokens.h"
#include "text/utf8.h"

namespace godwit::text {
namespace {

Json added_token(std::size_t id, std::string_view content, bool special) {
  return {{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", special}};
}

// BOS, EOS and pad are the first ids, the others count on from `first`.
Json added_tokens(std::size_t first) {
  Json added = Json::array();
  added.push_back(added_token(0, bos_token, true));
  added.push_back(added_token(1, eos_token, true));
  added.push_back(added_token(2, pad_token, true));
  added.push_back(added_token(first, user_token, true));
  added.push_back(added_token(first + 1, assistant_token, true));
  added.push_back(added_token(first + 2, think_begin_token, false));  // not special: whoever hides special tokens still sees the thinking
  added.push_back(added_token(first + 3, think_end_token, false));
  return added;
}

Json split(std::string_view regex) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}};
}

}  // namespace

Json deepseek_pre_tokenizer() {
  return {
      {"type", "Sequence"},
      {"pretokenizers",
       {split("\\p{N}{1,3}"),
        split("[一-龥\u3040-\u309f\u30a0-\u30ff]+"),
        split(
            R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"),
        {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}}}}};
}

std::string make_tokenizer_json(const std::vector<Merge>& merges) {
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> known;
  const auto add = [&](std::string token) {
    if (known.emplace(token, tokens.size()).second) tokens.push_back(std::move(token));
  };
  for (const std::string_view special : {bos_token, eos_token, pad_token}) add(std::string(special));
  std::vector<std::string> alphabet(byte_characters().begin(), byte_characters().end());
  std::ranges::sort(alphabet);  // UTF-8 sorts as its code points do
  for (std::string& character : alphabet) add(std::move(character));
  std::vector<Json> merge_lines;
  for (const auto& [left, right] : merges) {
    const std::string a = spelling_of_bytes(left), b = spelling_of_bytes(right);
    merge_lines.emplace_back(a + " " + b);
    add(a + b);
  }

  const Json added = added_tokens(tokens.size());
  Json vocabulary = Json::object();
  for (std::size_t i = 0; i < tokens.size(); ++i) vocabulary.add(tokens[i], i);

  const Json file{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", nullptr},
      {"pre_tokenizer", deepseek_pre_tokenizer()},
      // Nothing in front: text is trained on without BOS (documents end with EOS), and what loads the model elsewhere must do the same.
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", std::move(vocabulary)},
        {"merges", std::move(merge_lines)}}}};
  return write_json(file, 2) + "\n";
}

std::string make_characters_json() {
  Json vocabulary = Json::object();
  std::size_t id = 0;
  for (const std::string_view special : {bos_token, eos_token, pad_token}) vocabulary.add(std::string(special), id++);
  for (const char character : own_characters) vocabulary.add(std::string(1, character), id++);
  const Json file{{"version", "1.0"},
                  {"truncation", nullptr},
                  {"padding", nullptr},
                  {"added_tokens", added_tokens(id)},
                  {"normalizer", nullptr},
                  {"pre_tokenizer", characters_pre_tokenizer()},
                  {"post_processor", nullptr},  // as above
                  {"decoder", characters_decoder()},
                  {"model", {{"type", "WordLevel"}, {"vocab", std::move(vocabulary)}, {"unk_token", "<unknown>"}}}};
  return write_json(file, 2) + "\n";
}

}  // namespace godwit::text
