// Two results that should have the same bits: whether they have, and where not. In f32 a NaN is as good as another
// (docs/arithmetic.md, 1.2); in bf16, where only casts make one, it has its bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/digest.h"
#include "program/tensor.h"

namespace godwit::program {

struct Difference {
  std::int64_t element = 0;        // the first that differs
  std::int64_t elements = 0;       // how many do
  std::string expected, computed;  // of the first, as element_text says them
};

[[nodiscard]] std::optional<Difference> find_difference(const TensorType& type, std::span<const std::byte> expected,
                                                        std::span<const std::byte> computed);
// The number, and its bits: "0.25 (0x3e800000)".
[[nodiscard]] std::string element_text(Dtype dtype, const std::byte* element);

// Hash of a result in which every NaN counts as the same one: equal where find_difference finds nothing, and hardly ever elsewhere. The
// result is left as it was but for its NaN.
[[nodiscard]] BlockHash hash_result(const TensorType& type, std::span<std::byte> bytes);

}  // namespace godwit::program
