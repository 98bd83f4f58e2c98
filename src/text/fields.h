// Reading the objects of tokenizer files strictly: what is not known is refused by name.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace godwit::text {

// Fields that are null or false ask for nothing and may be there in any number: newer versions add such.
[[nodiscard]] inline Result<void> only_fields(const Json& object, std::initializer_list<std::string_view> known, std::string_view name) {
  for (const auto& [key, value] : object.items()) {
    if (std::ranges::find(known, std::string_view(key)) != known.end()) continue;
    if (value.is_null() || value == false) continue;
    return input_error("{}: {} is not a field this reader knows", name, key);
  }
  return {};
}

[[nodiscard]] inline Result<std::string> string_field(const Json& object, std::string_view field, std::string_view name) {
  const Json* found = object.find(field);
  if (found == nullptr || !found->is_string()) return input_error("{}: {} is missing or not a string", name, field);
  return found->get<std::string>();
}

[[nodiscard]] inline Result<bool> bool_field(const Json& object, std::string_view field, bool missing, std::string_view name) {
  const Json* found = object.find(field);
  if (found == nullptr) return missing;
  if (!found->is_boolean()) return input_error("{}: {} is not true or false", name, field);
  return found->get<bool>();
}

}  // namespace godwit::text
