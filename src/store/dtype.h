// The element types files hold, and the exact way between them and f32.
//
// These are the conversions of *files*: they round to nearest even and keep subnormals. The cast before a matmul, which does not, is the
// arithmetic's (docs/arithmetic.md). NaN is written in one form: 0x7FC0 in BF16, 0x7E00 in F16. All functions are pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace godwit::store {

enum class FileDtype : std::uint8_t { boolean, u8, i8, f8_e4m3, f8_e5m2, i16, u16, f16, bf16, i32, u32, f32, i64, u64, f64 };

// As safetensors spells it: "F32", "BF16", "BOOL" ….
std::string_view dtype_name(FileDtype dtype);
std::optional<FileDtype> find_dtype(std::string_view name);
std::size_t dtype_bytes(FileDtype dtype);
// The kinds to_f32 reads: F32, BF16, F16, F8_E4M3.
bool is_readable_as_f32(FileDtype dtype);

// "[8, 64]"
std::string shape_text(std::span<const std::uint64_t> shape);
// The product; nothing if it does not fit 64 bits.
std::optional<std::uint64_t> element_count(std::span<const std::uint64_t> shape);

std::uint16_t bf16_from_f32(float value);
float f32_from_bf16(std::uint16_t bits);
std::uint16_t f16_from_f32(float value);
float f32_from_f16(std::uint16_t bits);
// The "fn" kind: no infinities, 0x7F and 0xFF are NaN, largest 448.
float f32_from_f8_e4m3(std::uint8_t bits);

// Converts out.size() elements; `in` may be unaligned and must hold exactly that many of a kind is_readable_as_f32 names.
void to_f32(FileDtype dtype, std::span<const std::byte> in, std::span<float> out);
// The reverse, to F32, BF16 or F16.
void from_f32(std::span<const float> in, FileDtype dtype, std::span<std::byte> out);

}  // namespace godwit::store
