// Sources: files of text, read front to back in bounded memory.
//
// A file named *.jsonl holds one JSON object a line, whose string under the text key is a document; blank lines and empty strings are
// passed over. Any other file is one document; its bytes need not be UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "data/token_shard.h"
#include "text/tokenizer.h"

namespace godwit::data {

struct Source {
  std::filesystem::path path;
  std::string text_key;  // empty: the file is one document
  std::uint64_t bytes = 0;
  Digest digest;  // SHA-256 of the file
};

// Reads the file once to know its digest. Refuses what is not a text by its name (.json, .gz, .parquet …). `beat` is called now and then;
// may be empty.
[[nodiscard]] Result<Source> open_source(const std::filesystem::path& path, const std::string& text_key,
                                         const std::function<void()>& beat = nullptr);

struct TokenizeOptions {
  std::size_t piece_bytes = std::size_t{8} << 20;               // a document of one file is tokenized in pieces of about this size
  std::function<void(std::uint64_t bytes_done)> progress = {};  // may be empty
  std::function<bool()> interrupted = {};                       // may be empty
};

// Appends the ids of every document of the source, each ended by `eos`. Added tokens in the text become their ids, as in Hugging Face's
// tokenizers. Fails if the file is no longer the one whose digest `source` holds.
[[nodiscard]] Result<void> tokenize(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos, TokenShardWriter& shard,
                                    const TokenizeOptions& options = {});

// Where `text`, the beginning of a longer one, can be cut so that the two sides give the ids of the whole; 0 if no place was found.
//
// Candidates are behind a newline and before a visible ASCII character, from the end backwards: no match of DeepSeek's, GPT-2's or Llama
// 3's regexes reaches over such a place, unless it ends in white space that looks ahead. Whether it does, and whether an added token is
// near, the tokenizer itself is asked: a place is taken where it gives the same ids for the surroundings joined and apart.
[[nodiscard]] Result<std::size_t> find_cut(std::string_view text, const text::Tokenizer& tokenizer);

}  // namespace godwit::data
