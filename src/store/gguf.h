// One GGUF file, version 3: the format llama.cpp and its relatives read. Written only.
//
// "GGUF", u32 version, u64 tensors, u64 keys; keys { name, u32 type, value }; tensors { name, u32 rank, dimensions, u32 type, u64 offset };
// then, from the next multiple of 32 bytes on, each tensor's bytes at its offset, also a multiple of 32. Texts are u64 length and bytes.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace godwit::store {

// ggml's numbers. A Q8_0 row is blocks of 32 elements: an F16 scale d = (largest magnitude) / 127, then 32 i8, each the element / d
// rounded to the nearest, halves away from zero; the element is read back as d times that.
enum class GgufType : std::uint32_t { f32 = 0, q8_0 = 8, bf16 = 30 };
inline constexpr std::uint64_t q8_0_elements = 32;

using GgufValue = std::variant<std::uint32_t, float, bool, std::string, std::vector<std::string>, std::vector<std::int32_t>>;

struct GgufKey {
  std::string name;
  GgufValue value;
};

struct GgufTensor {
  std::string name;
  GgufType type = GgufType::f32;
  // Rows last, as everywhere in godwit; the file has it the other way round. Rows of Q8_0 are whole blocks (CHECK).
  std::vector<std::uint64_t> shape;
  // Called once, in the order of the tensors; what it returns is read before the next one is asked.
  std::function<Result<std::span<const float>>()> values;
};

// Called now and then with the share that is written, in 0 … 1; its error ends the writing.
using GgufProgress = std::function<Result<void>(double share)>;

// Writes the file durably (aside, synced, renamed): after an error there is none. Refuses a value that the tensor's type cannot hold: one
// that would become infinity, or, in Q8_0, is no finite number.
[[nodiscard]] Result<void> write_gguf(const fs::path& path, std::span<const GgufKey> keys, std::span<const GgufTensor> tensors,
                                      const GgufProgress& progress);

}  // namespace godwit::store
