// What could go wrong: a conversion that is off by one bit somewhere. Compared with the definition in double, and with the compiler's own
// _Float16, exhaustively where the type is small and at every rounding boundary where it is not.
#include "store/dtype.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace godwit::store {
namespace {

std::uint32_t bits_of(float value) {
  return std::bit_cast<std::uint32_t>(value);
}

// The value of a small float from its definition: sign, exponent, fraction, bias.
double value_of(unsigned bits, int fraction_bits, int bias, int sign_bit) {
  const unsigned fraction = bits & ((1u << fraction_bits) - 1);
  const int exponent = static_cast<int>(bits >> fraction_bits & ((1u << (sign_bit - fraction_bits)) - 1));
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                         : std::ldexp(fraction + (1u << fraction_bits), exponent - bias - fraction_bits);
  return bits >> sign_bit & 1 ? -magnitude : magnitude;
}

TEST(Dtype, NamesReadBack) {
  for (const char* name :
       {"BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "I64", "U64", "F64"}) {
    const auto dtype = find_dtype(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(dtype_name(*dtype), name);
  }
  EXPECT_FALSE(find_dtype("f32").has_value());
  EXPECT_EQ(dtype_bytes(FileDtype::bf16), 2u);
  EXPECT_EQ(dtype_bytes(FileDtype::u64), 8u);
}

TEST(Dtype, EveryF8IsItsValue) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const float value = f32_from_f8_e4m3(static_cast<std::uint8_t>(bits));
    if ((bits & 0x7f) == 0x7f) {
      EXPECT_EQ(bits_of(value), 0x7fc00000u);
    } else {
      EXPECT_EQ(bits_of(value), bits_of(static_cast<float>(value_of(bits, 3, 7, 7)))) << bits;
    }
  }
  EXPECT_EQ(f32_from_f8_e4m3(0x7e), 448.0f);
}

TEST(Dtype, EveryF16IsItsValueAndReadsBack) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const float value = f32_from_f16(half);
    if ((bits & 0x7fff) > 0x7c00) {
      EXPECT_EQ(bits_of(value), 0x7fc00000u);
      EXPECT_EQ(f16_from_f32(value), 0x7e00);
      continue;
    }
    if ((bits & 0x7fff) == 0x7c00) {
      EXPECT_EQ(value, bits & 0x8000 ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity());
    } else {
      ASSERT_EQ(bits_of(value), bits_of(static_cast<float>(value_of(bits, 10, 15, 15)))) << bits;
    }
    ASSERT_EQ(f16_from_f32(value), half);
  }
}

// Around every border between two neighbours: the middle goes to the even one, a hair beside it to the nearer one.
TEST(Dtype, F16RoundsToNearestEven) {
  for (unsigned bits = 0; bits < 0x7c00; ++bits) {
    const double here = value_of(bits, 10, 15, 15), next = bits == 0x7bff ? 65536.0 : value_of(bits + 1, 10, 15, 15);
    const float middle = static_cast<float>((here + next) / 2);  // exact: eleven bits more than f16 has fit f32
    const auto even = static_cast<std::uint16_t>(bits + (bits & 1)), low = static_cast<std::uint16_t>(bits),
               high = static_cast<std::uint16_t>(bits + 1);
    ASSERT_EQ(f16_from_f32(middle), even) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafter(middle, 0.0f)), low) << bits;
    ASSERT_EQ(f16_from_f32(std::nextafter(middle, 1e9f)), high) << bits;
    ASSERT_EQ(f16_from_f32(-middle), even | 0x8000) << bits;
  }
  EXPECT_EQ(f16_from_f32(1e30f), 0x7c00);
  EXPECT_EQ(f16_from_f32(-std::numeric_limits<float>::infinity()), 0xfc00);
  EXPECT_EQ(f16_from_f32(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f16_from_f32(-0.0f), 0x8000);
  EXPECT_EQ(f16_from_f32(-std::numeric_limits<float>::quiet_NaN()), 0x7e00);
}

TEST(Dtype, Bf16RoundsToNearestEvenAndKeepsSubnormals) {
  for (unsigned bits = 0; bits < 0x7f80; ++bits) {
    const auto low = static_cast<std::uint16_t>(bits), high = static_cast<std::uint16_t>(bits + 1);
    const std::uint32_t middle = bits << 16 | 0x8000;
    ASSERT_EQ(bits_of(f32_from_bf16(low)), bits << 16);
    ASSERT_EQ(bf16_from_f32(std::bit_cast<float>(bits << 16)), low);
    ASSERT_EQ(bf16_from_f32(std::bit_cast<float>(middle)), bits & 1 ? high : low);
    ASSERT_EQ(bf16_from_f32(std::bit_cast<float>(middle - 1)), low);
    ASSERT_EQ(bf16_from_f32(std::bit_cast<float>(middle + 1)), high);
    ASSERT_EQ(bf16_from_f32(std::bit_cast<float>((middle + 1) | 0x80000000)), high | 0x8000);
  }
  EXPECT_EQ(bf16_from_f32(std::numeric_limits<float>::infinity()), 0x7f80);
  for (std::uint32_t nan : {0x7f800001u, 0xffffffffu, 0x7fc00000u}) EXPECT_EQ(bf16_from_f32(std::bit_cast<float>(nan)), 0x7fc0);
}

TEST(Dtype, ArraysConvertUnaligned) {
  const std::vector<float> values = {1.0f, -2.5f, 0x1p-130f, 65504.0f};
  for (FileDtype dtype : {FileDtype::f32, FileDtype::bf16, FileDtype::f16}) {
    std::vector<std::byte> bytes(values.size() * dtype_bytes(dtype) + 1);
    const auto odd = std::span(bytes).subspan(1);
    from_f32(values, dtype, odd);
    std::vector<float> back(values.size());
    to_f32(dtype, odd, back);
    EXPECT_EQ(back[1], -2.5f);
    EXPECT_EQ(back[2], dtype == FileDtype::f16 ? 0.0f : 0x1p-130f);
  }
  std::vector<std::byte> out(4);
  EXPECT_DEATH(from_f32(values, FileDtype::f8_e4m3, out), "not written");
}

TEST(Dtype, ShapesMultiplyWithoutOverflow) {
  const std::vector<std::uint64_t> scalar, huge = {std::uint64_t{1} << 32, std::uint64_t{1} << 32}, usual = {8, 64};
  EXPECT_EQ(element_count(scalar), 1u);
  EXPECT_FALSE(element_count(huge).has_value());
  EXPECT_EQ(element_count(usual), 512u);
  EXPECT_EQ(shape_text(usual), "[8, 64]");
  EXPECT_EQ(shape_text(scalar), "[]");
}

}  // namespace
}  // namespace godwit::store
