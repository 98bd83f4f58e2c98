#include "store/dtype.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace godwit::store {
namespace {

struct Kind {
  FileDtype dtype;
  std::string_view name;
  std::size_t bytes;
};

constexpr std::array<Kind, 15> kinds = {{{FileDtype::boolean, "BOOL", 1},
                                         {FileDtype::u8, "U8", 1},
                                         {FileDtype::i8, "I8", 1},
                                         {FileDtype::f8_e4m3, "F8_E4M3", 1},
                                         {FileDtype::f8_e5m2, "F8_E5M2", 1},
                                         {FileDtype::i16, "I16", 2},
                                         {FileDtype::u16, "U16", 2},
                                         {FileDtype::f16, "F16", 2},
                                         {FileDtype::bf16, "BF16", 2},
                                         {FileDtype::i32, "I32", 4},
                                         {FileDtype::u32, "U32", 4},
                                         {FileDtype::f32, "F32", 4},
                                         {FileDtype::i64, "I64", 8},
                                         {FileDtype::u64, "U64", 8},
                                         {FileDtype::f64, "F64", 8}}};

const Kind& kind_of(FileDtype dtype) {
  const auto& kind = kinds.at(static_cast<std::size_t>(dtype));
  CHECK(kind.dtype == dtype, "the table of dtypes is out of order at {}", kind.name);
  return kind;
}

template <typename Bits>
Bits load(std::span<const std::byte> in, std::size_t index) {
  Bits bits;
  std::memcpy(&bits, in.data() + index * sizeof bits, sizeof bits);
  return bits;
}

// Drops the low `dropped` bits of a magnitude, to nearest, ties to even.
std::uint32_t round_off(std::uint32_t bits, unsigned dropped) {
  const std::uint32_t half = std::uint32_t{1} << (dropped - 1);
  return (bits + (half - 1) + (bits >> dropped & 1)) >> dropped;
}

}  // namespace

std::string_view dtype_name(FileDtype dtype) {
  return kind_of(dtype).name;
}
std::size_t dtype_bytes(FileDtype dtype) {
  return kind_of(dtype).bytes;
}

std::optional<FileDtype> find_dtype(std::string_view name) {
  for (const auto& kind : kinds) {
    if (kind.name == name) return kind.dtype;
  }
  return std::nullopt;
}

bool is_readable_as_f32(FileDtype dtype) {
  return dtype == FileDtype::f32 || dtype == FileDtype::bf16 || dtype == FileDtype::f16 || dtype == FileDtype::f8_e4m3;
}

std::string shape_text(std::span<const std::uint64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::optional<std::uint64_t> element_count(std::span<const std::uint64_t> shape) {
  std::uint64_t count = 1;
  for (const std::uint64_t dimension : shape) {
    if (__builtin_mul_overflow(count, dimension, &count)) return std::nullopt;
  }
  return count;
}

std::uint16_t bf16_from_f32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fc0;
  // The sign bit is far from the rounding; a carry out of the significand rightly raises the exponent, up to infinity.
  return static_cast<std::uint16_t>(round_off(bits, 16));
}

float f32_from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

std::uint16_t f16_from_f32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7e00;
  std::uint32_t result;
  if (magnitude >= 0x47800000) {  // 2^16: beyond the largest F16 and all that rounds to it
    result = 0x7c00;
  } else if (magnitude >= 0x38800000) {  // 2^-14, the least normal F16: rebias the exponent from 127 to 15
    result = round_off(magnitude - (std::uint32_t{112} << 23), 13);
  } else if (magnitude >= 0x33000000) {  // 2^-25, half the least subnormal: count in units of 2^-24
    const std::uint32_t exponent = magnitude >> 23;
    result = round_off((magnitude & 0x7fffff) | 0x800000, 126 - exponent);
  } else {
    result = 0;
  }
  return static_cast<std::uint16_t>(sign | result);
}

float f32_from_f16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x8000u} << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(fraction != 0 ? 0x7fc00000 : sign | 0x7f800000);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

float f32_from_f8_e4m3(std::uint8_t bits) {
  const std::uint32_t sign = std::uint32_t{bits & 0x80u} << 24, exponent = bits >> 3 & 15, fraction = bits & 7;
  if ((bits & 0x7f) == 0x7f) return std::bit_cast<float>(0x7fc00000u);
  if (exponent == 0) {
    const float magnitude = static_cast<float>(fraction) * 0x1p-9f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 120) << 23 | fraction << 20);
}

void to_f32(FileDtype dtype, std::span<const std::byte> in, std::span<float> out) {
  CHECK(in.size() == out.size() * dtype_bytes(dtype), "{} bytes of {} are not {} elements", in.size(), dtype_name(dtype), out.size());
  switch (dtype) {
    case FileDtype::f32:
      if (!out.empty()) std::memcpy(out.data(), in.data(), in.size());
      return;
    case FileDtype::bf16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = f32_from_bf16(load<std::uint16_t>(in, i));
      return;
    case FileDtype::f16:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = f32_from_f16(load<std::uint16_t>(in, i));
      return;
    case FileDtype::f8_e4m3:
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = f32_from_f8_e4m3(load<std::uint8_t>(in, i));
      return;
    default:
      CHECK(false, "{} cannot be read as f32", dtype_name(dtype));
  }
}

void from_f32(std::span<const float> in, FileDtype dtype, std::span<std::byte> out) {
  CHECK(out.size() == in.size() * dtype_bytes(dtype), "{} bytes of {} are not {} elements", out.size(), dtype_name(dtype), in.size());
  auto store = [&](auto convert) {
    for (std::size_t i = 0; i < in.size(); ++i) {
      const std::uint16_t bits = convert(in[i]);
      std::memcpy(out.data() + i * sizeof bits, &bits, sizeof bits);
    }
  };
  switch (dtype) {
    case FileDtype::f32:
      if (!in.empty()) std::memcpy(out.data(), in.data(), out.size());
      return;
    case FileDtype::bf16:
      store(bf16_from_f32);
      return;
    case FileDtype::f16:
      store(f16_from_f32);
      return;
    default:
      CHECK(false, "f32 is not written as {}", dtype_name(dtype));
  }
}

}  // namespace godwit::store
