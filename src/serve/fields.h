// Reads the members of one JSON object of a request: each is asked for by name, with its kind and bounds. The first fault is kept.
//
// Nothing is ignored: finish() refuses whatever was given and not asked for. null means "not given", as OpenAI's clients send it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "serve/api_error.h"

namespace godwit::serve {

// A parameter that is known elsewhere and does nothing here: refused unless its value asks for nothing.
struct Unsupported {
  std::string_view name;
  std::string_view neutral = "null";  // the JSON that asks for nothing, beside null
  std::string_view advice = {};
};

class Fields {
 public:
  // `prefix` opens the names in errors: "messages[2].". A value that is no object is a fault. `object` must outlive it.
  Fields(const Json& object, std::string prefix, std::optional<ApiError>& fault);

  [[nodiscard]] std::optional<std::int64_t> integer(std::string_view name, std::int64_t minimum, std::int64_t maximum);
  [[nodiscard]] std::optional<double> number(std::string_view name, double minimum, double maximum);
  [[nodiscard]] std::optional<bool> boolean(std::string_view name);
  [[nodiscard]] std::optional<std::string> text(std::string_view name);
  // Any value but null, to be looked at by the caller.
  [[nodiscard]] const Json* any(std::string_view name);
  // A member that is wrong for a reason the caller knows.
  void refuse(std::string_view name, std::string message, std::string code = {});
  [[nodiscard]] std::string full_name(std::string_view name) const { return prefix_ + std::string(name); }
  // To be called last.
  void finish(std::span<const Unsupported> unsupported = {});

 private:
  const Json* take(std::string_view name);
  const Json& object_;
  std::string prefix_;
  std::optional<ApiError>& fault_;
  std::vector<std::string> asked_;
};

// Numbers that are whole count as integers, however they are spelt (3.0, 3e2).
[[nodiscard]] std::optional<std::int64_t> whole_number(const Json& value);
// A value for an error message, cut where it is long.
[[nodiscard]] std::string shown(const Json& value);

}  // namespace godwit::serve
