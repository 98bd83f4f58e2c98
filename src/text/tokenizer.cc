#include "text/tokenizer.h"

#include <algorithm>
#include <array>
#include <functional>
#include <unordered_map>

#include "base/file.h"
#include "base/json.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/characters.h"
#include "text/chat.h"
#include "text/fields.h"
#include "text/piece_cache.h"
#include "text/pre_tokenizer.h"
#include "text/special_tokens.h"
#include "text/tokenizer_file.h"
#include "text/utf8.h"

namespace godwit::text {

struct Token {
  std::string spelling;  // empty: no token has this id
  std::string bytes;
  bool special = false;
  bool added = false;
};

struct TokenizerParts {
  std::string name;  // what error messages call it
  std::string json;
  std::vector<Token> tokens;  // by id
  std::unordered_map<std::string, std::int32_t> ids;
  std::vector<AddedToken> added;
  AddedTokenFinder first_round, second_round;  // not normalized, normalized
  PreTokenizer pre_tokenizer;
  Bpe bpe;
  Characters characters;                                    // instead of the two above, where the tokens are single characters
  std::vector<std::int32_t> special_before, special_after;  // what post_processor puts around a text
  std::optional<std::int32_t> bos, eos, pad;
  std::string chat_template;
  std::optional<Json> config;                // tokenizer_config.json, if there was one
  std::optional<std::string> template_file;  // chat_template.jinja, if there was one
};

namespace {

constexpr std::int64_t id_max = (1 << 22) - 1;  // thirty times the largest vocabulary in use; bounds the table by id
constexpr std::string_view config_name = "tokenizer_config.json";
constexpr std::string_view template_name = "chat_template.jinja";

// Reads a tokenizer.json into parts, section by section.
class Reader {
 public:
  Reader(const Json& file, TokenizerParts& parts) : file_(file), parts_(parts) {}

  Result<void> read() {
    if (!file_.is_object()) return input_error("{}: not a JSON object", parts_.name);
    TRY(only_fields(
        file_, {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"},
        parts_.name));
    TRY(read_header());
    TRY(read_normalizer());
    if (is_characters_file(file_)) {
      TRY(check_characters_file(file_, parts_.name));
      TRY(read_characters());
      TRY(read_added_tokens());
    } else {
      TRY(read_decoder());
      TRY(read_model());
      TRY(read_added_tokens());
      TRY_ASSIGN(parts_.pre_tokenizer, PreTokenizer::from_json(section("pre_tokenizer"), place("pre_tokenizer")));
    }
    TRY(read_post_processor(section("post_processor"), place("post_processor")));
    return {};
  }

 private:
  const Json& section(const char* key) const {
    static const Json null;
    const Json* found = file_.find(key);
    return found == nullptr ? null : *found;
  }
  std::string place(std::string_view part) const { return fmt::format("{}: {}", parts_.name, part); }

  Result<void> read_header() {
    const Json& version = section("version");
    if (!version.is_null() && version != "1.0") return input_error("{}: version is {}; 1.0 is read", parts_.name, write_json(version));
    for (const char* key : {"truncation", "padding"}) {
      if (!section(key).is_null()) return input_error("{}: {} is set, which would change the ids; set it to null", parts_.name, key);
    }
    return {};
  }

  Result<void> read_normalizer() {
    const Json& normalizer = section("normalizer");
    if (normalizer.is_null()) return {};
    const std::string name = place("normalizer");
    if (!normalizer.is_object()) return input_error("{}: neither null nor an object", name);
    TRY_ASSIGN(const std::string type, string_field(normalizer, "type", name));
    const Json* steps = normalizer.find("normalizers");
    if (type != "Sequence") return input_error("{}: {} is not supported; only null or an empty Sequence is", name, type);
    TRY(only_fields(normalizer, {"type", "normalizers"}, name));
    if (steps == nullptr || !steps->is_array()) return input_error("{}: normalizers is not a list", name);
    if (steps->empty()) return {};
    const Json& step = steps->front();
    const std::string inner = step.is_object() && step.contains("type") ? write_json(step["type"]) : "a step without type";
    return input_error("{}: {} is not supported; only null or an empty Sequence is", name, inner);
  }

  Result<void> read_decoder() {
    const std::string name = place("decoder");
    const Json* decoder = &section("decoder");
    if (!decoder->is_object()) return input_error("{}: there is none; byte-level BPE needs ByteLevel", name);
    TRY_ASSIGN(const std::string type, string_field(*decoder, "type", name));
    if (type == "Sequence") {
      const Json* steps = decoder->find("decoders");
      if (steps == nullptr || !steps->is_array() || steps->size() != 1 || !steps->front().is_object()) {
        return input_error("{}: a Sequence other than of one ByteLevel is not supported", name);
      }
      decoder = &steps->front();
    }
    TRY_ASSIGN(const std::string inner, string_field(*decoder, "type", name));
    if (inner != "ByteLevel") return input_error("{}: {} is not supported; ByteLevel is", name, inner);
    return only_fields(*decoder, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, name);
  }

  Result<void> read_model() {
    const std::string name = place("model");
    const Json& model = section("model");
    if (!model.is_object()) return input_error("{}: missing or not an object", name);
    const Json* type = model.find("type");
    if (type != nullptr && *type != "BPE")
      return input_error("{}: type {} is not supported; BPE is, and WordLevel of single characters", name, write_json(*type));
    TRY(only_fields(model,
                    {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
                     "ignore_merges", "vocab", "merges"},
                    name));
    for (const char* key : {"unk_token", "continuing_subword_prefix", "end_of_word_suffix"}) {
      const Json* found = model.find(key);
      if (found == nullptr || found->is_null() || (*found == "" && std::string_view(key) != "unk_token")) continue;
      return input_error("{}: {} is {}, which byte-level BPE does not use; only null is supported", name, key, write_json(*found));
    }
    const Json* dropout = model.find("dropout");
    if (dropout != nullptr && !dropout->is_null() && *dropout != 0) {
      return input_error("{}: dropout is {}, which makes ids random; only null is supported", name, write_json(*dropout));
    }
    TRY_ASSIGN([[maybe_unused]] const bool fuse_unk, bool_field(model, "fuse_unk", false, name));  // nothing is ever unknown
    TRY_ASSIGN(const bool byte_fallback, bool_field(model, "byte_fallback", false, name));
    if (byte_fallback) return input_error("{}: byte_fallback is true, which is SentencePiece's; only false is supported", name);
    TRY_ASSIGN(const bool ignore_merges, bool_field(model, "ignore_merges", false, name));
    TRY(read_vocabulary(model, ignore_merges));
    return read_merges(model);
  }

  Result<void> put(std::int64_t id, const std::string& spelling, std::string bytes) {
    if (id < 0 || id > id_max) return input_error("{}: {} has id {}; ids are 0 to {}", parts_.name, spelling, id, id_max);
    if (static_cast<std::size_t>(id) >= parts_.tokens.size()) parts_.tokens.resize(static_cast<std::size_t>(id) + 1);
    Token& token = parts_.tokens[static_cast<std::size_t>(id)];
    if (!token.spelling.empty()) return input_error("{}: {} and {} both have id {}", parts_.name, token.spelling, spelling, id);
    token.spelling = spelling;
    token.bytes = std::move(bytes);
    parts_.ids.emplace(spelling, static_cast<std::int32_t>(id));
    return {};
  }

  // Calls token(spelling, id) for each token of the model, in the file's order.
  Result<void> each_token(const Json& model, const std::function<Result<void>(const std::string&, std::int64_t)>& token) {
    const Json* vocabulary = model.find("vocab");
    if (vocabulary == nullptr || !vocabulary->is_object()) return input_error("{}: model: vocab is missing or not an object", parts_.name);
    for (const auto& [spelling, id] : vocabulary->items()) {
      if (!id.is_number_integer() || (id.is_number_unsigned() && id.get<std::uint64_t>() > static_cast<std::uint64_t>(id_max))) {
        return input_error("{}: {} has id {}; ids are 0 to {}", parts_.name, spelling, write_json(id), id_max);
      }
      if (spelling.empty()) return input_error("{}: model: vocab has an empty token", parts_.name);
      TRY(token(spelling, id.get<std::int64_t>()));
    }
    vocabulary_size_ = vocabulary->size();
    return {};
  }

  Result<void> read_characters() {
    return each_token(section("model"), [&](const std::string& spelling, std::int64_t id) -> Result<void> {
      TRY(put(id, spelling, spelling));
      if (character_length(spelling, 0) == spelling.size()) parts_.characters.add(spelling, static_cast<std::int32_t>(id));
      return {};
    });
  }

  Result<void> read_vocabulary(const Json& model, bool ignore_merges) {
    TRY(each_token(model, [&](const std::string& spelling, std::int64_t id) {
      std::optional<std::string> bytes = bytes_of_spelling(spelling);
      const bool spelled = bytes.has_value();
      if (spelled && ignore_merges && id >= 0) parts_.bpe.whole_pieces.emplace(*bytes, static_cast<std::int32_t>(std::min(id, id_max)));
      // A token with characters outside the byte alphabet never comes of merging; like Hugging Face, decode it as itself.
      return put(id, spelling, spelled ? *std::move(bytes) : spelling);
    }));
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::string& character = byte_characters()[byte];
      const auto found = parts_.ids.find(character);
      if (found == parts_.ids.end()) {
        return input_error("{}: model: vocab has no token {} for the byte 0x{:02X}; byte-level BPE needs all 256", parts_.name, character,
                           byte);
      }
      parts_.bpe.byte_ids[byte] = found->second;
    }
    return {};
  }

  Result<void> read_merges(const Json& model) {
    const Json* merges = model.find("merges");
    if (merges == nullptr || !merges->is_array()) return input_error("{}: model: merges is missing or not a list", parts_.name);
    parts_.bpe.reserve(merges->size());
    std::uint32_t rank = 0;
    const bool pairs = !merges->empty() && merges->front().is_array();
    for (std::size_t line = 0; line < merges->size(); ++line) {
      const Json& merge = (*merges)[line];
      std::string left, right;
      if (pairs && merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
        left = merge[0].get<std::string>();
        right = merge[1].get<std::string>();
      } else if (!pairs && merge.is_string()) {
        const auto& text = merge.string();
        if (text.starts_with("#version")) continue;
        const std::size_t blank = text.find(' ');
        if (blank == std::string::npos || text.find(' ', blank + 1) != std::string::npos) {
          return input_error("{}: model: merge {} is \"{}\", not two tokens with one blank between", parts_.name, line, text);
        }
        left = text.substr(0, blank);
        right = text.substr(blank + 1);
      } else {
        return input_error("{}: model: merge {} is {}; merges are all \"a b\" or all [\"a\", \"b\"]", parts_.name, line, write_json(merge));
      }
      std::array<std::int32_t, 3> ids;
      const std::array<std::string, 3> spellings{left, right, left + right};
      for (std::size_t i = 0; i < 3; ++i) {
        const auto found = parts_.ids.find(spellings[i]);
        if (found == parts_.ids.end()) {
          return input_error("{}: model: merge {} ({} {}) needs the token {}, which vocab lacks", parts_.name, line, left, right,
                             spellings[i]);
        }
        ids[i] = found->second;
      }
      parts_.bpe.add_merge(ids[0], ids[1], rank++, ids[2]);
    }
    return {};
  }

  Result<void> read_added_tokens() {
    const Json& list = section("added_tokens");
    if (list.is_null()) return build_finders();
    if (!list.is_array()) return input_error("{}: added_tokens is not a list", parts_.name);
    // Hugging Face ignores the ids written here: it takes the vocabulary's, else counts on from its size. They must agree.
    auto next = static_cast<std::int64_t>(vocabulary_size_);
    std::unordered_map<std::string, bool> seen;
    for (const Json& entry : list) {
      if (!entry.is_object()) return input_error("{}: added_tokens: an entry that is not an object", parts_.name);
      const std::string name = place("added_tokens");
      TRY(only_fields(entry, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"}, name));
      AddedToken token;
      TRY_ASSIGN(token.content, string_field(entry, "content", name));
      if (token.content.empty()) return input_error("{}: a token without content", name);
      const Json* id = entry.find("id");
      if (id == nullptr || !id->is_number_integer()) return input_error("{}: {} has no whole number as id", name, token.content);
      if (!seen.emplace(token.content, true).second) return input_error("{}: {} is there twice", name, token.content);
      TRY_ASSIGN(token.single_word, bool_field(entry, "single_word", false, name));
      TRY_ASSIGN(token.lstrip, bool_field(entry, "lstrip", false, name));
      TRY_ASSIGN(token.rstrip, bool_field(entry, "rstrip", false, name));
      TRY_ASSIGN(token.special, bool_field(entry, "special", false, name));
      TRY_ASSIGN(token.normalized, bool_field(entry, "normalized", !token.special, name));
      const auto known = parts_.ids.find(token.content);
      const std::int64_t expected = known != parts_.ids.end() ? known->second : next++;
      if (*id != expected) {
        return input_error("{}: {} has id {}, but {} gives it {}", name, token.content, write_json(*id),
                           known != parts_.ids.end() ? "the vocabulary" : "counting on from the vocabulary (as Hugging Face does)",
                           expected);
      }
      if (known == parts_.ids.end()) TRY(put(expected, token.content, token.content));
      token.id = static_cast<std::int32_t>(expected);
      Token& entry_by_id = parts_.tokens[static_cast<std::size_t>(token.id)];
      entry_by_id.bytes = token.content;
      entry_by_id.special = token.special;
      entry_by_id.added = true;
      parts_.added.push_back(std::move(token));
    }
    return build_finders();
  }

  Result<void> build_finders() {
    parts_.first_round.build(parts_.added, false);
    parts_.second_round.build(parts_.added, true);
    return {};
  }

  Result<void> read_post_processor(const Json& processor, const std::string& name) {
    if (processor.is_null()) return {};
    if (!processor.is_object()) return input_error("{}: neither null nor an object", name);
    TRY_ASSIGN(const std::string type, string_field(processor, "type", name));
    if (type == "ByteLevel") return {};  // moves offsets only
    if (type == "Sequence") {
      const Json* steps = processor.find("processors");
      if (steps == nullptr || !steps->is_array()) return input_error("{}: processors is not a list", name);
      for (const Json& step : *steps) {
        if (step.is_object() && step.value("type", Json()) == "Sequence") return input_error("{}: a Sequence in a Sequence", name);
        TRY(read_post_processor(step, name));
      }
      return {};
    }
    if (type != "TemplateProcessing") return input_error("{}: {} is not supported; TemplateProcessing and ByteLevel are", name, type);
    const Json* single = processor.find("single");
    if (single == nullptr || !single->is_array()) return input_error("{}: single is missing or not a list", name);
    std::vector<std::int32_t> before, after;
    bool text_seen = false;
    for (const Json& item : *single) {
      if (!item.is_object() || item.size() != 1) return input_error("{}: single has {}", name, write_json(item));
      const auto& [kind, value] = item.items().front();
      if (kind == "Sequence") {
        if (text_seen) return input_error("{}: single has the text twice", name);
        text_seen = true;
        continue;
      }
      if (kind != "SpecialToken" || !value.is_object()) return input_error("{}: single has {}", name, write_json(item));
      TRY_ASSIGN(const std::string label, string_field(value, "id", name));
      TRY_ASSIGN(const auto ids, template_ids(processor, label, name));
      auto& side = text_seen ? after : before;
      side.insert(side.end(), ids.begin(), ids.end());
    }
    parts_.special_before.insert(parts_.special_before.begin(), before.begin(), before.end());
    parts_.special_after.insert(parts_.special_after.end(), after.begin(), after.end());
    return {};
  }

  Result<std::vector<std::int32_t>> template_ids(const Json& processor, const std::string& label, const std::string& name) {
    const Json* table = processor.find("special_tokens");
    if (table == nullptr || !table->is_object() || !table->contains(label)) {
      return input_error("{}: special_tokens has no {}, which single names", name, label);
    }
    const Json& entry = (*table)[label];
    const Json* listed = entry.find("ids");
    if (listed == nullptr || !listed->is_array()) return input_error("{}: special_tokens: {} has no ids", name, label);
    std::vector<std::int32_t> ids;
    for (const Json& id : *listed) {
      const bool known =
          id.is_number_unsigned() && id.get<std::size_t>() < parts_.tokens.size() && !parts_.tokens[id.get<std::size_t>()].spelling.empty();
      if (!known) return input_error("{}: special_tokens: {} has id {}, which no token has", name, label, write_json(id));
      ids.push_back(id.get<std::int32_t>());
    }
    return ids;
  }

  const Json& file_;
  TokenizerParts& parts_;
  std::size_t vocabulary_size_ = 0;
};

Result<std::shared_ptr<TokenizerParts>> read_parts(std::string json, std::string_view name) {
  auto parts = std::make_shared<TokenizerParts>();
  parts->name = name;
  parts->json = std::move(json);
  TRY_ASSIGN(const Json file, parse_json(parts->json, name));
  TRY(Reader(file, *parts).read());
  const auto known = [&](std::string_view token) -> std::optional<std::int32_t> {
    const auto found = parts->ids.find(std::string(token));
    if (found == parts->ids.end()) return std::nullopt;
    return found->second;
  };
  parts->bos = known(bos_token);
  parts->eos = known(eos_token);
  parts->pad = known(pad_token);
  return parts;
}

// "bos_token": "<s>" or {"content": "<s>", …} or null.
Result<void> read_config_token(const Json& config, const char* key, std::optional<std::int32_t>& id, const TokenizerParts& parts,
                               std::string_view name) {
  const Json* found = config.find(key);
  if (found == nullptr) return {};
  if (found->is_null()) {
    id.reset();
    return {};
  }
  std::string content;
  if (found->is_string()) {
    content = found->get<std::string>();
  } else if (found->is_object()) {
    TRY_ASSIGN(content, string_field(*found, "content", fmt::format("{}: {}", name, key)));
  } else {
    return input_error("{}: {} is neither a token nor null", name, key);
  }
  const auto token = parts.ids.find(content);
  if (token == parts.ids.end()) return input_error("{}: {} is {}, which tokenizer.json does not have", name, key, content);
  id = token->second;
  return {};
}

Result<void> read_config(TokenizerParts& parts, const std::filesystem::path& directory) {
  const auto config_path = directory / config_name;
  if (std::filesystem::exists(config_path)) {
    const std::string name = config_path.string();
    TRY_ASSIGN(const std::string text, read_file(config_path, std::uint64_t{1} << 28));
    TRY_ASSIGN(Json config, parse_json(text, name));
    if (!config.is_object()) return input_error("{}: not a JSON object", name);
    TRY(read_config_token(config, "bos_token", parts.bos, parts, name));
    TRY(read_config_token(config, "eos_token", parts.eos, parts, name));
    TRY(read_config_token(config, "pad_token", parts.pad, parts, name));
    const Json* chat = config.find("chat_template");
    if (chat != nullptr && chat->is_string()) parts.chat_template = chat->get<std::string>();
    parts.config = std::move(config);
  }
  const auto template_path = directory / template_name;
  if (std::filesystem::exists(template_path)) {
    TRY_ASSIGN(parts.template_file, read_file(template_path, std::uint64_t{1} << 28));
    parts.chat_template = *parts.template_file;  // transformers prefers the file, too
  }
  return {};
}

Json make_config(const TokenizerParts& parts) {
  Json config{{"tokenizer_class", "PreTrainedTokenizerFast"}};
  const auto token = [&](const char* key, std::optional<std::int32_t> id) {
    if (id) config[key] = parts.tokens[static_cast<std::size_t>(*id)].spelling;
  };
  token("bos_token", parts.bos);
  token("eos_token", parts.eos);
  token("pad_token", parts.pad);
  const bool adds_bos = parts.bos && parts.special_before == std::vector{*parts.bos};
  const bool adds_eos = parts.eos && parts.special_after == std::vector{*parts.eos};
  config["add_bos_token"] = adds_bos;
  config["add_eos_token"] = adds_eos;
  config["clean_up_tokenization_spaces"] = false;
  if (!parts.chat_template.empty()) config["chat_template"] = parts.chat_template;
  return config;
}

constexpr std::size_t worth_caching_bytes = 4096;  // below, clearing the cache costs more than it saves

}  // namespace

Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  const bool is_directory = std::filesystem::is_directory(path);
  const auto file = is_directory ? path / "tokenizer.json" : path;
  TRY_ASSIGN(std::string json, read_file(file));
  TRY_ASSIGN(const auto parts, read_parts(std::move(json), file.string()));
  if (is_directory) TRY(read_config(*parts, path));
  return Tokenizer(parts);
}

Result<Tokenizer> Tokenizer::from_json(std::string json, std::string_view name) {
  TRY_ASSIGN(const auto parts, read_parts(std::move(json), name));
  return Tokenizer(parts);
}

Tokenizer Tokenizer::bytes() {
  return own_tokenizer(make_tokenizer_json({}));
}

Tokenizer Tokenizer::characters() {
  return own_tokenizer(make_characters_json());
}

Tokenizer own_tokenizer(const std::vector<Merge>& merges) {
  return own_tokenizer(make_tokenizer_json(merges));
}

Tokenizer own_tokenizer(std::string json) {
  auto parts = read_parts(std::move(json), "tokenizer.json");
  CHECK(parts.ok(), "{}", parts.error().message);
  parts.value()->chat_template = jinja_template(ChatFormat::v3_1);
  return Tokenizer(std::move(parts).value());
}

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  constexpr std::size_t bytes_max = (std::size_t{1} << 31) - 2;
  if (text.size() > bytes_max) return input_error("a text of {} bytes; at most {} are encoded at once", text.size(), bytes_max);
  const TokenizerParts& parts = *parts_;
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (options.add_special) ids = parts.special_before;
  RegexScratch regex_scratch;
  BpeScratch bpe_scratch;
  PieceCache cache(parts.pre_tokenizer.keeps_text() && text.size() >= worth_caching_bytes);
  const auto encode_piece = [&](std::string_view piece) {
    if (cache.copy(piece, ids)) return;
    const std::size_t begin = ids.size();
    parts.bpe.encode(piece, ids, bpe_scratch);
    cache.remember(piece, begin, ids.size() - begin);
  };
  std::vector<Cut> first_cuts, second_cuts;
  for (std::size_t position = 0; position < text.size();) {
    const std::size_t end = valid_run_end(text, position);
    const std::string_view run = text.substr(position, end - position);
    const bool newer = has_newer_characters(run);
    first_cuts.clear();
    if (options.added_tokens) {
      parts.first_round.cut(run, parts.added, first_cuts);
    } else if (!run.empty()) {
      first_cuts.push_back({run, -1});
    }
    for (const Cut& first : first_cuts) {
      second_cuts.clear();
      if (first.id < 0 && options.added_tokens) {
        parts.second_round.cut(first.text, parts.added, second_cuts);
      } else {
        second_cuts.push_back(first);
      }
      for (const Cut& second : second_cuts) {
        if (second.id >= 0) {
          ids.push_back(second.id);
        } else if (!parts.characters.empty()) {
          TRY(parts.characters.encode(second.text, text, ids));
        } else {
          TRY(parts.pre_tokenizer.split({second.text, newer}, regex_scratch, encode_piece));
        }
      }
    }
    position = end;
    if (position < text.size() && !parts.characters.empty()) return parts.characters.encode(text.substr(position), text, ids).error();
    if (position < text.size()) ids.push_back(parts.bpe.byte_ids[static_cast<unsigned char>(text[position++])]);
  }
  if (options.add_special) ids.insert(ids.end(), parts.special_after.begin(), parts.special_after.end());
  return ids;
}

Result<std::string> Tokenizer::decode(std::span<const std::int32_t> ids, bool keep_special) const {
  std::string text;
  for (const std::int32_t id : ids) {
    if (token(id).empty()) return input_error("the id {} has no token; {} has ids 0 to {}", id, parts_->name, vocab_size() - 1);
    if (keep_special || !is_special(id)) text += token_bytes(id);
  }
  return text;
}

std::string_view Tokenizer::token_bytes(std::int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(parts_->tokens[static_cast<std::size_t>(id)].bytes) : std::string_view();
}

std::string_view Tokenizer::token(std::int32_t id) const {
  return id >= 0 && id < vocab_size() ? std::string_view(parts_->tokens[static_cast<std::size_t>(id)].spelling) : std::string_view();
}

bool Tokenizer::is_special(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && parts_->tokens[static_cast<std::size_t>(id)].special;
}

bool Tokenizer::is_added(std::int32_t id) const {
  return id >= 0 && id < vocab_size() && parts_->tokens[static_cast<std::size_t>(id)].added;
}

std::optional<std::int32_t> Tokenizer::token_id(std::string_view token) const {
  const auto found = parts_->ids.find(std::string(token));
  if (found == parts_->ids.end()) return std::nullopt;
  return found->second;
}

std::int32_t Tokenizer::vocab_size() const {
  return static_cast<std::int32_t>(parts_->tokens.size());
}
std::optional<std::int32_t> Tokenizer::bos() const {
  return parts_->bos;
}
std::optional<std::int32_t> Tokenizer::eos() const {
  return parts_->eos;
}
std::optional<std::int32_t> Tokenizer::pad() const {
  return parts_->pad;
}
const std::string& Tokenizer::chat_template() const {
  return parts_->chat_template;
}
const std::string& Tokenizer::json() const {
  return parts_->json;
}

Result<void> Tokenizer::save(const std::filesystem::path& directory, std::optional<std::int64_t> model_max_length) const {
  Json config = parts_->config.value_or(make_config(*parts_));
  config["tokenizer_class"] = "PreTrainedTokenizerFast";
  if (model_max_length) config["model_max_length"] = *model_max_length;
  TRY(create_directories_durably(directory));
  TRY(write_file_durably(directory / "tokenizer.json", parts_->json));
  if (parts_->template_file) TRY(write_file_durably(directory / template_name, *parts_->template_file));
  return write_file_durably(directory / config_name, write_json(config, 2) + "\n");
}

std::string StreamDecoder::push(std::int32_t id) {
  if (keep_special_ || !tokenizer_.is_special(id)) held_ += tokenizer_.token_bytes(id);
  const std::size_t certain = held_.size() - incomplete_tail(held_);
  std::string text = held_.substr(0, certain);
  held_.erase(0, certain);
  return text;
}

std::string StreamDecoder::flush() {
  return std::exchange(held_, {});
}

}  // namespace godwit::text
