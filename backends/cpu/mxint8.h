// Blocks of 8 bits (docs/arithmetic.md, mxint8): one scale and up to 32 whole numbers of it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace godwit::cpu::mxint8 {

inline constexpr std::int64_t block_length = 32;

// A scale is the exponent of a binary32, with its bias. That of a block which is NaN throughout reads as infinity, and its numbers are 0.
inline constexpr std::uint8_t not_finite = 255;

struct Block {
  std::uint8_t scale = 1;
  std::int8_t numbers[block_length] = {};

  [[nodiscard]] float value(std::int64_t i) const { return static_cast<float>(numbers[i]) * scale_of(scale); }
  [[nodiscard]] static float scale_of(std::uint8_t scale) { return std::bit_cast<float>(static_cast<std::uint32_t>(scale) << 23); }
};

// `count` is 1 … block_length; the rest is 0.
inline Block block_of(const float* x, std::int64_t count) {
  Block block;
  std::uint32_t largest = 0;
  for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::bit_cast<std::uint32_t>(x[i]) & 0x7fffffff);
  const int exponent = static_cast<int>(largest >> 23);
  if (exponent == 255) {
    block.scale = not_finite;
    return block;
  }
  block.scale = static_cast<std::uint8_t>(std::max(exponent - 6, 1));
  const float inverse = std::bit_cast<float>((254u - block.scale) << 23);
  // Added to a number below 2^22, it leaves the nearest whole number, halves to even, in the low bits.
  constexpr float rounder = 0x1.8p23f;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int32_t rounded = std::bit_cast<std::int32_t>(x[i] * inverse + rounder) - std::bit_cast<std::int32_t>(rounder);
    block.numbers[i] = static_cast<std::int8_t>(std::clamp(rounded, -127, 127));
  }
  return block;
}

}  // namespace godwit::cpu::mxint8
