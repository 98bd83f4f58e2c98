// Golden bits of the ops: reads the manifests in tests/golden/bits/ops and compares what an implementation gives with them.
//
// The manifests come from tests/golden/twin, a second implementation written from docs/arithmetic.md alone. Who runs a case (the
// canonical reference, a backend) is the caller's business: it hands over output bytes, `first_difference` judges them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "program/op.h"

namespace godwit::golden {

using Bytes = std::vector<std::uint8_t>;

struct GoldenTensor {
  std::string name;
  program::TensorType type;
  Bytes bytes;
  Bytes initial;  // outputs an op updates in part: their bytes before it runs; else empty
};

struct GoldenCase {
  std::string name;
  program::Attributes attributes;
  std::vector<GoldenTensor> inputs;   // in the op's order; the last may repeat for a variadic op
  std::vector<GoldenTensor> outputs;  // in the op's order
};

struct GoldenOp {
  std::string op;
  std::vector<GoldenCase> cases;
};

// Every manifest of the folder, sorted by file name. A malformed one is an error that names the file and the place in it.
[[nodiscard]] Result<std::vector<GoldenOp>> read_golden_ops(const std::filesystem::path& folder);

// The hexadecimal digits of raw little-endian bytes.
[[nodiscard]] Result<Bytes> bytes_from_hex(std::string_view hex);

// Where `actual` (of the type's size) leaves the golden bits: null, or a sentence with tensor, index and both values. A NaN in f32 stands
// for every NaN; bf16, which only casts and copies write, must match exactly.
[[nodiscard]] std::optional<std::string> first_difference(const GoldenTensor& golden, const Bytes& actual);

}  // namespace godwit::golden
