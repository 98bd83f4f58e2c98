// Byte-level BPE, or single characters (characters.h), as Hugging Face's tokenizer.json describes it: text → ids → the same bytes again.
//
// The order is Hugging Face's: added tokens are cut out first, what is left is split by the pre-tokenizer's regexes, and every piece is
// merged by rank. Supported is what DeepSeek's files (and GPT-2's, StarCoder's, Llama 3's) use; a file with any other part is refused by
// that part's name, because a tokenizer that is nearly right gives ids that are silently wrong.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace godwit::text {

struct EncodeOptions {
  bool add_special = false;  // what the file's post_processor adds, usually BOS in front
  bool added_tokens = true;  // false: "<think>" and the like in the text are plain characters, not control tokens
};

struct TokenizerParts;
class Tokenizer;

// For godwit's own files; see tokenizer_file.h.
[[nodiscard]] Tokenizer own_tokenizer(const std::vector<std::pair<std::string, std::string>>& merges);
[[nodiscard]] Tokenizer own_tokenizer(std::string json);

// A handle to immutable parts: copying is cheap, every member is const and may be called from many threads at once.
class Tokenizer {
 public:
  // `path` is a directory holding tokenizer.json (and perhaps tokenizer_config.json, chat_template.jinja), or the tokenizer.json itself.
  [[nodiscard]] static Result<Tokenizer> load(const std::filesystem::path& path);

  // From the text of a tokenizer.json; `name` opens every error message. BOS, EOS and pad are then DeepSeek's, where the file has them.
  [[nodiscard]] static Result<Tokenizer> from_json(std::string json, std::string_view name);

  // 256 bytes and DeepSeek's control tokens (special_tokens.h), no merges: ids 0–2 are BOS, EOS and pad, 3–258 the bytes.
  [[nodiscard]] static Tokenizer bytes();

  // 64 ids in all: DeepSeek's control tokens around single characters (own_characters in tokenizer_file.h), for small models.
  [[nodiscard]] static Tokenizer characters();

  // Bytes that are not UTF-8 are kept: the text is cut there and each such byte becomes its byte token. Fails only where one of the file's
  // own regexes exceeds its matching limit on this text (DeepSeek's do not), and, where tokens are single characters, on a character that
  // has none: it is named, with its place.
  [[nodiscard]] Result<std::vector<std::int32_t>> encode(std::string_view text, EncodeOptions options = {}) const;

  // The bytes of the ids one after another; not necessarily UTF-8. An id without a token is an input error. With keep_special = false
  // tokens marked special are left out (<think> is not marked special in DeepSeek's files and stays).
  [[nodiscard]] Result<std::string> decode(std::span<const std::int32_t> ids, bool keep_special = true) const;

  // The bytes one id stands for; empty for an id without a token, such as the rows a model's vocabulary is padded with.
  [[nodiscard]] std::string_view token_bytes(std::int32_t id) const;
  // The token as the file spells it ("Ġthe"), empty as above.
  [[nodiscard]] std::string_view token(std::int32_t id) const;
  [[nodiscard]] bool is_special(std::int32_t id) const;
  // An added token: cut out before text is merged, so none that text consists of (<think> is one).
  [[nodiscard]] bool is_added(std::int32_t id) const;
  [[nodiscard]] std::optional<std::int32_t> token_id(std::string_view token) const;

  [[nodiscard]] std::int32_t vocab_size() const;  // largest id + 1
  [[nodiscard]] std::optional<std::int32_t> bos() const;
  [[nodiscard]] std::optional<std::int32_t> eos() const;
  [[nodiscard]] std::optional<std::int32_t> pad() const;

  // The Jinja chat template, empty where the files have none; chat.h renders the ones it knows.
  [[nodiscard]] const std::string& chat_template() const;
  // The tokenizer.json, byte for byte as it was read.
  [[nodiscard]] const std::string& json() const;

  // Writes tokenizer.json and tokenizer_config.json (and chat_template.jinja, if it came so) into `directory`, which is made if needed. The
  // first is the original; in the second everything read is kept, but tokenizer_class becomes PreTrainedTokenizerFast, the class that takes
  // tokenizer.json at its word in every version of transformers. `model_max_length` is written when given.
  [[nodiscard]] Result<void> save(const std::filesystem::path& directory, std::optional<std::int64_t> model_max_length = {}) const;

 private:
  friend Tokenizer own_tokenizer(std::string json);
  explicit Tokenizer(std::shared_ptr<const TokenizerParts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const TokenizerParts> parts_;
};

// Decodes id by id for people to read along. Never emits half a character: bytes that may yet become one are held back until they do, or
// until they cannot any more; then they are emitted as they are. All pushes and the flush joined equal decode(). Keeps a copy of the
// handle. Not thread-safe.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool keep_special = true) : tokenizer_(std::move(tokenizer)), keep_special_(keep_special) {}
  // The text that became certain with this id; an id without a token adds nothing.
  [[nodiscard]] std::string push(std::int32_t id);
  // What is still held back; the decoder is then as new.
  [[nodiscard]] std::string flush();

 private:
  Tokenizer tokenizer_;
  bool keep_special_;
  std::string held_;
};

}  // namespace godwit::text
