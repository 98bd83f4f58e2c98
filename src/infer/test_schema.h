// Judges JSON by a schema, for tests: recursive, slow, and written apart from what compiles schemas.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "base/json.h"
#include "infer/grammar/pattern.h"

namespace godwit::infer {

inline std::size_t characters(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

inline bool is_of_type(const Json& value, const std::string& type) {
  if (type == "integer") return value.is_number() && std::floor(value.get<double>()) == value.get<double>();
  return value.type_name() == type;
}

// Empty where it is valid.
inline std::string why_invalid(const Json& value, const Json& schema, const Json& root) {
  if (schema.is_boolean()) return schema.get<bool>() ? "" : "false";
  const auto sub = [&](const Json& part) { return why_invalid(value, part, root); };
  if (const Json* ref = schema.find("$ref")) {
    const Json* at = &root;
    for (std::size_t begin = 2; begin < ref->string().size();) {
      const std::size_t end = std::min(ref->string().find('/', begin), ref->string().size());
      at = at->find(ref->string().substr(begin, end - begin));
      begin = end + 1;
    }
    if (value.is_null() && schema.contains("nullable")) return "";
    if (std::string why = sub(*at); !why.empty()) return why;
  }
  if (const Json* type = schema.find("type")) {
    const Json types = type->is_array() ? *type : Json::array({*type});
    bool any = value.is_null() && schema.contains("nullable");
    for (const Json& name : types) any = any || is_of_type(value, name.string());
    if (!any) return "type";
  }
  if (const Json* values = schema.find("enum"); values != nullptr && std::ranges::find(*values, value) == values->end()) return "enum";
  if (const Json* only = schema.find("const"); only != nullptr && *only != value) return "const";
  if (const Json* parts = schema.find("allOf")) {
    for (const Json& part : *parts) {
      if (std::string why = sub(part); !why.empty()) return why;
    }
  }
  for (const char* word : {"anyOf", "oneOf"}) {
    const Json* branches = schema.find(word);
    if (branches == nullptr) continue;
    const auto count = std::ranges::count_if(*branches, [&](const Json& branch) { return sub(branch).empty(); });
    if (count == 0 || (word == std::string("oneOf") && count != 1)) return word;
  }
  const auto number = [&](const char* word) { return schema[word].get<double>(); };
  if (value.is_object()) {
    const Json properties = schema.value("properties", Json::object());
    for (const Json& name : schema.value("required", Json::array())) {
      if (!value.contains(name.string())) return "required";
    }
    for (const auto& [name, member] : value.items()) {
      const Json* own = properties.find(name);
      const std::string why = why_invalid(member, own != nullptr ? *own : schema.value("additionalProperties", Json(true)), root);
      if (!why.empty()) return name + ": " + why;
    }
  }
  if (value.is_array()) {
    if (schema.contains("minItems") && static_cast<double>(value.size()) < number("minItems")) return "minItems";
    if (schema.contains("maxItems") && static_cast<double>(value.size()) > number("maxItems")) return "maxItems";
    const Json prefix = schema.value("prefixItems", Json::array());
    for (std::size_t i = 0; i < value.size(); ++i) {
      const std::string why = why_invalid(value[i], i < prefix.size() ? prefix[i] : schema.value("items", Json(true)), root);
      if (!why.empty()) return fmt::format("{}: {}", i, why);
    }
  }
  if (value.is_number()) {
    const auto x = value.get<double>();
    if (schema.contains("minimum") && x < number("minimum")) return "minimum";
    if (schema.contains("maximum") && x > number("maximum")) return "maximum";
    if (schema.contains("exclusiveMinimum") && x <= number("exclusiveMinimum")) return "exclusiveMinimum";
    if (schema.contains("exclusiveMaximum") && x >= number("exclusiveMaximum")) return "exclusiveMaximum";
  }
  if (value.is_string()) {
    const auto length = static_cast<double>(characters(value.string()));
    if (schema.contains("minLength") && length < number("minLength")) return "minLength";
    if (schema.contains("maxLength") && length > number("maxLength")) return "maxLength";
    // Patterns are judged by their own cases above; here, that what was spelled is what was meant.
    Work work;
    const std::string spelled = write_json(value).substr(1, write_json(value).size() - 2);
    if (schema.contains("pattern") && !pattern_strings(schema["pattern"].string(), work)->matches(spelled)) return "pattern";
    if (schema.contains("format") && !format_strings(schema["format"].string(), work)->matches(spelled)) return "format";
  }
  return "";
}

}  // namespace godwit::infer
