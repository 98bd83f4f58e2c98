// Any bytes are a JSON document or an error; what is accepted is also what nlohmann's own strict parser accepts, and reads back as itself.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace godwit;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto json = parse_json(text, "fuzz");
  if (!json.ok()) return 0;
  CHECK(nlohmann::json::accept(text), "only one of two parsers accepts: {}", text);
  const std::string written = write_json(*json);
  const auto again = parse_json(written, "written");
  CHECK(again.ok() && *again == *json, "{} reads back differently", written);
  return 0;
}
