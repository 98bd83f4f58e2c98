#include "infer/grammar/schema_merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <vector>

namespace godwit::infer {
namespace {

constexpr std::size_t depth_max = 64;

bool is_annotation(std::string_view key) {
  static constexpr std::array<std::string_view, 21> known{"title",
                                                          "description",
                                                          "default",
                                                          "examples",
                                                          "example",
                                                          "$schema",
                                                          "$id",
                                                          "id",
                                                          "$comment",
                                                          "$defs",
                                                          "definitions",
                                                          "deprecated",
                                                          "readOnly",
                                                          "writeOnly",
                                                          "contentEncoding",
                                                          "contentMediaType",
                                                          "discriminator",
                                                          "xml",
                                                          "externalDocs",
                                                          "$anchor",
                                                          "strict"};
  return key.starts_with("x-") || std::ranges::find(known, key) != known.end();
}

bool is_known(std::string_view key) {
  static constexpr std::array<std::string_view, 25> known{"$ref",
                                                          "allOf",
                                                          "anyOf",
                                                          "oneOf",
                                                          "type",
                                                          "nullable",
                                                          "enum",
                                                          "const",
                                                          "properties",
                                                          "required",
                                                          "additionalProperties",
                                                          "items",
                                                          "prefixItems",
                                                          "minItems",
                                                          "maxItems",
                                                          "minLength",
                                                          "maxLength",
                                                          "pattern",
                                                          "format",
                                                          "minimum",
                                                          "maximum",
                                                          "exclusiveMinimum",
                                                          "exclusiveMaximum",
                                                          "uniqueItems",
                                                          "minProperties"};
  return std::ranges::find(known, key) != known.end();
}

bool is_type(std::string_view name) {
  static constexpr std::array<std::string_view, 7> known{"null", "boolean", "integer", "number", "string", "array", "object"};
  return std::ranges::find(known, name) != known.end();
}

std::size_t bytes_of(const Json& schema) {
  return 64 + write_json(schema).size();
}

bool contains(const Json& list, const Json& value) {
  return std::ranges::find(list, value) != list.end();
}

Json intersection(const Json& a, const Json& b) {
  Json common = Json::array();
  for (const Json& value : a) {
    if (contains(b, value)) common.push_back(value);
  }
  return common;
}

// "integer" is also a "number".
Json common_types(const Json& a, const Json& b) {
  Json common = intersection(a, b);
  for (const auto& [some, others] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (contains(*some, "integer") && contains(*others, "number") && !contains(common, "number") && !contains(common, "integer")) {
      common.push_back("integer");
    }
  }
  return common;
}

// What the schema says of a property: its own, or what it says of others.
Json of_property(const Json& schema, const std::string& name) {
  const Json* properties = schema.find("properties");
  if (properties != nullptr && properties->contains(name)) return (*properties)[name];
  return schema.value("additionalProperties", Json(true));
}

Json conjunction(const Json& a, const Json& b) {
  if (a == b || b == Json(true)) return a;
  if (a == Json(true)) return b;
  Json schema = Json::object();
  schema.add("allOf", Json::array({a, b}));
  return schema;
}

Json of_type(std::string_view type) {
  Json schema = Json::object();
  schema.add("type", Json::array({type}));
  return schema;
}

// null is allowed besides.
Json nullable(Json schema) {
  if (schema.contains("type") && !schema.contains("enum") && !schema.contains("anyOf")) {
    if (!contains(schema["type"], "null")) schema["type"].push_back("null");
    return schema;
  }
  Json either = Json::object();
  either.add("anyOf", Json::array({std::move(schema), of_type("null")}));
  return either;
}

// The types a normal schema without anyOf allows; nothing said: nothing.
std::optional<std::set<std::string>> types_of(const Json& schema) {
  std::set<std::string> types;
  if (const Json* values = schema.find("enum")) {
    for (const Json& value : *values) types.emplace(schema_type(value));
    return types;
  }
  if (!schema.contains("type")) return std::nullopt;
  for (const Json& type : schema["type"]) types.insert(type.string());
  if (types.contains("number")) types.insert("integer");
  return types;
}

}  // namespace

std::string place_of(std::string_view parent, std::string_view key) {
  std::string place(parent);
  place += '/';
  for (const char c : key) {
    if (c == '~') {
      place += "~0";
    } else if (c == '/') {
      place += "~1";
    } else {
      place += c;
    }
  }
  return place;
}

std::string_view schema_type(const Json& value) {
  if (!value.is_number()) return value.type_name();
  if (value.is_number_integer()) return "integer";
  const auto number = value.get<double>();
  return number == static_cast<double>(static_cast<std::int64_t>(std::clamp(number, -9e18, 9e18))) ? "integer" : "number";
}

Error SchemaMerger::error(std::string_view place, std::string_view keyword, std::string_view what) const {
  return input_error("{}: {} at {}: {}", name_, keyword, place_of(place, keyword), what);
}

bool SchemaMerger::is_reference(const Json& schema) {
  if (!schema.is_object() || !schema.contains("$ref")) return false;
  return std::ranges::all_of(schema.items(), [](const Json::Member& member) { return member.key == "$ref" || is_annotation(member.key); });
}

Result<const Json*> SchemaMerger::target(const Json& ref, std::string_view place) const {
  if (!ref.is_string()) return error(place, "$ref", "is not a string");
  std::string_view path = ref.string();
  if (path != "#" && !path.starts_with("#/")) {
    return error(place, "$ref", fmt::format("'{}' is not within this schema; only # and #/… are followed", path));
  }
  path.remove_prefix(1);
  const Json* at = &root_;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    std::string key;
    for (std::size_t i = 0; i < end; ++i) {
      const bool escaped = path[i] == '~' && i + 1 < end && (path[i + 1] == '0' || path[i + 1] == '1');
      key += escaped ? (path[++i] == '0' ? '~' : '/') : path[i];
    }
    path.remove_prefix(end);
    const Json* next = at->find(key);
    if (next == nullptr && at->is_array() && !key.empty() && key.size() < 6 &&
        std::ranges::all_of(key, [](char c) { return c >= '0' && c <= '9'; })) {
      const auto index = static_cast<std::size_t>(std::stoul(key));
      if (index < at->size()) next = &(*at)[index];
    }
    if (next == nullptr) return error(place, "$ref", fmt::format("'{}' is not there", ref.string()));
    at = next;
  }
  return at;
}

Result<void> SchemaMerger::charge(std::size_t steps, const std::string& place) {
  if (work_.spend(steps)) return {};
  return input_error("{}: {}: references, alternatives and allOf multiply beyond what is compiled", name_, place);
}

Result<Json> SchemaMerger::normal(const Json& schema, const std::string& place) {
  return normal_at(schema, place, 0);
}

Result<Json> SchemaMerger::normal_at(const Json& schema, const std::string& place, std::size_t depth) {
  if (depth > depth_max) return input_error("{}: {}: $ref and allOf lead on for more than {} steps", name_, place, depth_max);
  if (schema.is_boolean()) return schema;
  if (!schema.is_object())
    return input_error("{}: {} is no schema: it is of type {}", name_, place.empty() ? "it" : place, schema.type_name());
  Json result = Json::object();
  for (const auto& [key, value] : schema.items()) {
    if (is_annotation(key)) continue;
    if (!is_known(key)) return error(place, key, "this keyword is not supported");
    if (key == "$ref" || key == "allOf" || key == "oneOf" || key == "nullable" || key == "const") continue;
    const bool nothing_said = (key == "uniqueItems" && value == Json(false)) || (key == "minProperties" && value == Json(0));
    if (nothing_said) continue;
    if (key == "uniqueItems" || key == "minProperties") return error(place, key, "this keyword is not supported");
    result.add(key, value);
  }
  if (const Json* type = result.find("type")) {
    Json types = type->is_array() ? *type : Json::array({*type});
    for (const Json& name : types) {
      if (!name.is_string() || !is_type(name.string())) return error(place, "type", fmt::format("{} is no type", write_json(name)));
    }
    result["type"] = std::move(types);
  }
  for (const std::string_view list : {"enum", "anyOf", "required", "prefixItems"}) {
    if (const Json* value = result.find(list); value != nullptr && !value->is_array()) return error(place, list, "is not a list");
  }
  if (const Json* properties = result.find("properties"); properties != nullptr && !properties->is_object()) {
    return error(place, "properties", "is not an object");
  }
  if (const Json* value = schema.find("const")) {
    Json only = Json::array({*value});
    result["enum"] = result.contains("enum") ? intersection(result["enum"], only) : std::move(only);
  }
  if (const Json* branches = schema.find("oneOf")) {
    if (!branches->is_array()) return error(place, "oneOf", "is not a list");
    TRY(check_one_of(*branches, place, depth));
    Json alternatives = Json::object();
    alternatives.add("anyOf", *branches);
    TRY_ASSIGN(result, both(result, alternatives, place));
  }
  if (const Json* ref = schema.find("$ref")) {
    TRY_ASSIGN(const Json* other, target(*ref, place));
    TRY_ASSIGN(const Json meant, normal_at(*other, place, depth + 1));
    TRY_ASSIGN(result, both(result, meant, place));
  }
  if (const Json* parts = schema.find("allOf")) {
    if (!parts->is_array()) return error(place, "allOf", "is not a list");
    for (const Json& part : *parts) {
      TRY_ASSIGN(const Json meant, normal_at(part, place, depth + 1));
      TRY_ASSIGN(result, both(result, meant, place));
    }
  }
  if (schema.value("nullable", Json(false)) == Json(true)) result = nullable(std::move(result));
  TRY(charge(4 * bytes_of(result), place));
  return result;
}

Result<Json> SchemaMerger::both(const Json& a, const Json& b, const std::string& place) {
  if (a == Json(false) || b == Json(false)) return Json(false);
  if (a == Json(true) || a.empty()) return b;
  if (b == Json(true) || b.empty()) return a;
  // Members and values are looked for one by one.
  TRY(charge(bytes_of(a) * bytes_of(b) / 64, place));
  Json merged = Json::object();
  TRY(merge_object(a, b, merged));
  TRY(merge_array(a, b, merged, place));
  static constexpr std::array<std::string_view, 6> larger{"minItems", "minLength", "minimum", "exclusiveMinimum"};
  for (const auto& [key, value] : a.items()) {
    if (merged.contains(key)) continue;
    const Json* other = b.find(key);
    if (other == nullptr || *other == value) {
      merged.add(key, value);
    } else if (key == "type") {
      merged.add(key, common_types(value, *other));
    } else if (key == "enum") {
      merged.add(key, intersection(value, *other));
    } else if (key == "anyOf") {
      Json rest = Json::object();
      rest.add("anyOf", *other);
      Json branches = Json::array();
      for (const Json& branch : value) branches.push_back(conjunction(branch, rest));
      merged.add(key, std::move(branches));
    } else if (value.is_number() && other->is_number()) {
      const bool take_larger = std::ranges::find(larger, key) != larger.end();
      merged.add(key, (value.get<double>() > other->get<double>()) == take_larger ? value : *other);
    } else {
      return error(place, key, "is asked for twice by $ref or allOf, and differently");
    }
  }
  for (const auto& [key, value] : b.items()) {
    if (!merged.contains(key)) merged.add(key, value);
  }
  return merged;
}

// Properties of either are held to what both say of them.
Result<void> SchemaMerger::merge_object(const Json& a, const Json& b, Json& merged) const {
  const auto speaks = [](const Json& schema) { return schema.contains("properties") || schema.contains("additionalProperties"); };
  if (speaks(a) && speaks(b)) {
    Json properties = Json::object();
    for (const Json* schema : {&a, &b}) {
      const Json* own = schema->find("properties");
      if (own == nullptr) continue;
      for (const auto& [name, value] : own->items()) {
        if (!properties.contains(name)) properties.add(name, conjunction(of_property(a, name), of_property(b, name)));
      }
    }
    merged.add("properties", std::move(properties));
    merged.add("additionalProperties",
               conjunction(a.value("additionalProperties", Json(true)), b.value("additionalProperties", Json(true))));
  }
  if (a.contains("required") && b.contains("required")) {
    Json required = a["required"];
    for (const Json& name : b["required"]) {
      if (!contains(required, name)) required.push_back(name);
    }
    merged.add("required", std::move(required));
  }
  return {};
}

Result<void> SchemaMerger::merge_array(const Json& a, const Json& b, Json& merged, const std::string& place) const {
  if (!a.contains("items") && !a.contains("prefixItems")) return {};
  if (!b.contains("items") && !b.contains("prefixItems")) return {};
  if (a.contains("prefixItems") || b.contains("prefixItems"))
    return error(place, "prefixItems", "is not merged with another list of items");
  merged.add("items", conjunction(a["items"], b["items"]));
  return {};
}

Result<void> SchemaMerger::check_one_of(const Json& branches, const std::string& place, std::size_t depth) {
  std::vector<Json> normals;
  for (const Json& branch : branches) {
    TRY_ASSIGN(Json meant, normal_at(branch, place, depth + 1));
    normals.push_back(std::move(meant));
  }
  for (std::size_t i = 0; i < normals.size(); ++i) {
    for (std::size_t j = i + 1; j < normals.size(); ++j) {
      TRY_ASSIGN(const bool apart, exclude_each_other(normals[i], normals[j], place, depth + 1));
      if (apart) continue;
      return error(
          place, "oneOf",
          fmt::format("branches {} and {} may both hold: they must differ by type, or by const or enum of a required property; use "
                      "anyOf where that does not matter",
                      i, j));
    }
  }
  return {};
}

// False where it is not certain.
Result<bool> SchemaMerger::exclude_each_other(const Json& a, const Json& b, const std::string& place, std::size_t depth) {
  TRY(charge(64, place));
  if (a == Json(false) || b == Json(false)) return true;
  if (!a.is_object() || !b.is_object()) return false;
  for (const auto& [some, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    const Json* branches = some->find("anyOf");
    if (branches == nullptr) continue;
    for (const Json& branch : *branches) {
      TRY_ASSIGN(const Json meant, normal_at(branch, place, depth + 1));
      TRY_ASSIGN(const bool apart, exclude_each_other(meant, *other, place, depth + 1));
      if (!apart) return false;
    }
    return true;
  }
  const auto types_a = types_of(a), types_b = types_of(b);
  if (!types_a || !types_b) return false;
  std::vector<std::string> common;
  std::ranges::set_intersection(*types_a, *types_b, std::back_inserter(common));
  if (common.empty()) return true;
  if (a.contains("enum") && b.contains("enum")) return intersection(a["enum"], b["enum"]).empty();
  if (common != std::vector<std::string>{"object"} || !a.contains("required") || !b.contains("required")) return false;
  for (const Json& name : intersection(a["required"], b["required"])) {
    if (!name.is_string()) continue;
    TRY_ASSIGN(const Json in_a, normal_at(of_property(a, name.string()), place, depth + 1));
    TRY_ASSIGN(const Json in_b, normal_at(of_property(b, name.string()), place, depth + 1));
    if (!in_a.is_object() || !in_b.is_object() || !in_a.contains("enum") || !in_b.contains("enum")) continue;
    if (intersection(in_a["enum"], in_b["enum"]).empty()) return true;
  }
  return false;
}

}  // namespace godwit::infer
