#include "program/difference.h"

#include <fmt/format.h>

#include <bit>
#include <cstring>
#include <vector>

#include "base/math.h"

namespace godwit::program {

namespace {

std::uint32_t word_at(std::size_t size, const std::byte* element) {
  std::uint32_t word = 0;
  std::memcpy(&word, element, size);
  return word;
}

bool is_nan(std::uint32_t f32) {
  return (f32 & 0x7FFFFFFFu) > 0x7F800000u;
}

}  // namespace

std::string element_text(Dtype dtype, const std::byte* element) {
  const std::uint32_t word = word_at(static_cast<std::size_t>(dtype_bytes(dtype)), element);
  if (dtype == Dtype::i32) return fmt::format("{}", static_cast<std::int32_t>(word));
  if (dtype == Dtype::bf16) return fmt::format("{} (0x{:04x})", math::f32_from_bf16(static_cast<std::uint16_t>(word)), word);
  return fmt::format("{} (0x{:08x})", std::bit_cast<float>(word), word);
}

std::optional<Difference> find_difference(const TensorType& type, std::span<const std::byte> expected,
                                          std::span<const std::byte> computed) {
  if (expected.empty() || std::memcmp(expected.data(), computed.data(), expected.size()) == 0) return std::nullopt;
  const auto size = static_cast<std::size_t>(dtype_bytes(type.dtype));
  std::optional<Difference> found;
  for (std::size_t i = 0; i < expected.size() / size; ++i) {
    const std::byte *one = expected.data() + i * size, *other = computed.data() + i * size;
    const std::uint32_t a = word_at(size, one), b = word_at(size, other);
    if (a == b || (type.dtype == Dtype::f32 && is_nan(a) && is_nan(b))) continue;
    if (!found) found = Difference{static_cast<std::int64_t>(i), 0, element_text(type.dtype, one), element_text(type.dtype, other)};
    ++found->elements;
  }
  return found;
}

BlockHash hash_result(const TensorType& type, std::span<std::byte> bytes) {
  if (type.dtype == Dtype::f32) {
    auto* words = reinterpret_cast<std::uint32_t*>(bytes.data());
    for (std::size_t i = 0; i < bytes.size() / 4; ++i) words[i] = is_nan(words[i]) ? 0x7FC00000u : words[i];
  }
  std::vector<BlockHash> hashes = hash_blocks(bytes);
  while (hashes.size() > 1) hashes = hash_blocks(std::as_bytes(std::span(hashes)));
  return hashes.empty() ? BlockHash() : hashes[0];
}

}  // namespace godwit::program
