// The tokenizer.json godwit writes for its own tokenizers: DeepSeek-V3's pre-tokenizer, control tokens and layout of ids.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace godwit::text {

// A merge of two tokens as their bytes.
using Merge = std::pair<std::string, std::string>;

// The three regexes of DeepSeek-V3, and ByteLevel.
[[nodiscard]] Json deepseek_pre_tokenizer();

// Ids: BOS, EOS and pad, the 256 bytes in the order of their characters' code points, the merged tokens in order, then <｜User｜>,
// <｜Assistant｜>, <think> and </think>. A merge whose bytes are a token already adds none.
[[nodiscard]] std::string make_tokenizer_json(const std::vector<Merge>& merges);

// The characters of Tokenizer::characters(), in the order of their ids: with seven control tokens 64 ids.
inline constexpr std::string_view own_characters = "\n !&()*+,-./0123456789:;<=>?[]abcdefghijklmnopqrstuvwxyz|";

// Ids: BOS, EOS and pad, the characters, then the other control tokens as above.
[[nodiscard]] std::string make_characters_json();

// own_tokenizer (tokenizer.h) is the tokenizer of that file, with DeepSeek-V3.1's chat template.

// How many ids make_tokenizer_json gives without any merge.
inline constexpr std::size_t tokens_without_merges = 3 + 256 + 4;

}  // namespace godwit::text
