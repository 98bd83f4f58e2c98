// JSON, read with simdjson (strict, with limits and positions in its errors) into nlohmann's ordered tree, which also writes.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/error.h"

namespace godwit {

using Json = nlohmann::ordered_json;

struct JsonLimits {
  std::size_t bytes_max = std::size_t{1} << 30;
  std::size_t depth_max = 64;
};

// Parses one whole JSON document. `name` (a file name, "line 3 of x.jsonl") opens every error message. Refuses duplicate keys, invalid
// UTF-8, trailing text, and documents deeper or larger than the limits. Key order is kept. Thread-safe.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits = {});

// One line without spaces, ASCII kept as is, other characters as UTF-8 (invalid bytes become U+FFFD). Floats print so that they read back
// to the same double; NaN and infinities, which JSON lacks, are written as null.
[[nodiscard]] std::string write_json(const Json& json, int indent = -1);

}  // namespace godwit
