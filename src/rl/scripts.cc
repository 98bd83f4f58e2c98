#include "rl/scripts.h"

#include <algorithm>
#include <array>

#include "text/utf8.h"

namespace godwit::rl {

namespace {

struct Block {
  char32_t first, last;
  Script script;
};
// Ascending. What lies between is no letter that a chain of thought would be written in, but for `other` above U+02FF.
constexpr Block blocks[] = {
    {U'A', U'Z', Script::latin},      {U'a', U'z', Script::latin},     {0xAA, 0xAA, Script::latin},      {0xBA, 0xBA, Script::latin},
    {0xC0, 0xD6, Script::latin},      {0xD8, 0xF6, Script::latin},     {0xF8, 0x2AF, Script::latin},     {0x370, 0x3FF, Script::greek},
    {0x400, 0x52F, Script::cyrillic}, {0x531, 0x587, Script::other},   {0x5D0, 0x5F2, Script::hebrew},   {0x620, 0x64A, Script::arabic},
    {0x66E, 0x6D3, Script::arabic},   {0x6FA, 0x6FC, Script::arabic},  {0x750, 0x77F, Script::arabic},   {0x900, 0xD7F, Script::indic},
    {0xE01, 0xE4E, Script::thai},     {0xE80, 0x109F, Script::other},  {0x10A0, 0x10FF, Script::other},  {0x1100, 0x11FF, Script::hangul},
    {0x1200, 0x1DFF, Script::other},  {0x1E00, 0x1EFF, Script::latin}, {0x1F00, 0x1FFF, Script::greek},  {0x3041, 0x309F, Script::kana},
    {0x30A1, 0x30FA, Script::kana},   {0x30FC, 0x30FF, Script::kana},  {0x3131, 0x318E, Script::hangul}, {0x31F0, 0x31FF, Script::kana},
    {0x3400, 0x4DBF, Script::han},    {0x4E00, 0x9FFF, Script::han},   {0xAC00, 0xD7A3, Script::hangul}, {0xF900, 0xFAFF, Script::han},
    {0xFF21, 0xFF3A, Script::latin},  {0xFF41, 0xFF5A, Script::latin}, {0xFF66, 0xFF9D, Script::kana},   {0x20000, 0x323AF, Script::han},
};

using Counts = std::array<std::size_t, static_cast<std::size_t>(Script::other) + 1>;

// Letters by script. Bytes that are no UTF-8 are no letters.
Counts count(std::string_view text) {
  Counts counts{};
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = text::character_length(text, at);
    if (length > 0) ++counts[static_cast<std::size_t>(script_of(text::code_point(text, at)))];
    at += std::max<std::size_t>(length, 1);
  }
  counts[static_cast<std::size_t>(Script::none)] = 0;
  return counts;
}

std::size_t sum(const Counts& counts) {
  std::size_t all = 0;
  for (const std::size_t each : counts) all += each;
  return all;
}

}  // namespace

Script script_of(char32_t character) {
  const auto* block = std::ranges::lower_bound(blocks, character, {}, &Block::last);
  return block != std::end(blocks) && block->first <= character ? block->script : Script::none;
}

double script_share(std::string_view text, std::string_view model) {
  const Counts own = count(text), wanted = count(model);
  const std::size_t letters = sum(own), model_letters = sum(wanted);
  if (letters == 0 || model_letters == 0) return 1;
  std::size_t in = 0;
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (wanted[i] * 10 >= model_letters) in += own[i];
  }
  return static_cast<double>(in) / static_cast<double>(letters);
}

}  // namespace godwit::rl
