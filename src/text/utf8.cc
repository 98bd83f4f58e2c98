#include "text/utf8.h"

#include <cstring>

namespace godwit::text {
namespace {

bool between(char c, unsigned low, unsigned high) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= low && byte <= high;
}

// Expected length by the lead byte and the range of the second byte (RFC 3629, section 4).
struct Lead {
  std::size_t length;
  unsigned second_low, second_high;
};

Lead lead_of(char c) {
  const auto byte = static_cast<unsigned char>(c);
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Are the bytes of `rest` a beginning of one character with this lead?
bool follows(const Lead& lead, std::string_view rest) {
  for (std::size_t i = 1; i < rest.size(); ++i) {
    if (!(i == 1 ? between(rest[i], lead.second_low, lead.second_high) : between(rest[i], 0x80, 0xBF))) return false;
  }
  return true;
}

std::array<char32_t, 256> alphabet() {
  std::array<char32_t, 256> characters{};
  char32_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    characters[byte] = printable ? char32_t{byte} : next++;
  }
  return characters;
}

}  // namespace

std::size_t character_length(std::string_view text, std::size_t position) {
  const Lead lead = lead_of(text[position]);
  if (lead.length == 0 || text.size() - position < lead.length) return 0;
  return follows(lead, text.substr(position, lead.length)) ? lead.length : 0;
}

char32_t code_point(std::string_view text, std::size_t position) {
  const auto byte = [&](std::size_t i) { return static_cast<char32_t>(static_cast<unsigned char>(text[position + i])); };
  switch (lead_of(text[position]).length) {
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    case 4:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
    default:
      return byte(0);
  }
}

std::size_t valid_run_end(std::string_view text, std::size_t position) {
  while (position < text.size()) {
    if (text.size() - position >= 8) {  // eight ASCII bytes at once: most text is ASCII
      std::uint64_t word;
      std::memcpy(&word, text.data() + position, 8);
      if ((word & 0x8080808080808080u) == 0) {
        position += 8;
        continue;
      }
    }
    const std::size_t length = character_length(text, position);
    if (length == 0) break;
    position += length;
  }
  return position;
}

std::size_t incomplete_tail(std::string_view text) {
  for (std::size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const std::string_view rest = text.substr(text.size() - back);
    if (between(rest[0], 0x80, 0xBF)) continue;
    const Lead lead = lead_of(rest[0]);
    return lead.length > back && follows(lead, rest) ? back : 0;
  }
  return 0;
}

bool is_white_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

const std::array<std::string, 256>& byte_characters() {
  static const std::array<std::string, 256> characters = [] {
    std::array<std::string, 256> spelled;
    const auto points = alphabet();
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const char32_t c = points[byte];  // all below U+0800: one or two bytes
      if (c < 0x80) {
        spelled[byte] = std::string(1, static_cast<char>(c));
      } else {
        spelled[byte] = {static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F))};
      }
    }
    return spelled;
  }();
  return characters;
}

std::optional<std::string> bytes_of_spelling(std::string_view spelling) {
  static const std::array<int, 512> bytes = [] {
    std::array<int, 512> reverse;
    reverse.fill(-1);
    const auto points = alphabet();
    for (int byte = 0; byte < 256; ++byte) reverse[points[static_cast<std::size_t>(byte)]] = byte;
    return reverse;
  }();
  std::string result;
  result.reserve(spelling.size());
  for (std::size_t i = 0; i < spelling.size();) {
    const std::size_t length = character_length(spelling, i);
    if (length == 0) return std::nullopt;
    const char32_t c = code_point(spelling, i);
    if (c >= bytes.size() || bytes[c] < 0) return std::nullopt;
    result.push_back(static_cast<char>(bytes[c]));
    i += length;
  }
  return result;
}

std::string spelling_of_bytes(std::string_view bytes) {
  std::string result;
  for (const char byte : bytes) result += byte_characters()[static_cast<unsigned char>(byte)];
  return result;
}

}  // namespace godwit::text
