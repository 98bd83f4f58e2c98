#include "base/json.h"

#include <algorithm>
#include <ostream>

namespace godwit {

Json::Json() = default;
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(const Json& other) = default;
Json& Json::operator=(Json&& other) noexcept = default;
Json::~Json() = default;

Json::Json(Boolean boolean) : value_(boolean.value) {}
Json::Json(SignedInteger integer) : value_(integer.value) {}
Json::Json(UnsignedInteger integer) : value_(integer.value) {}
Json::Json(double value) : value_(value) {}
Json::Json(std::string value) : value_(std::move(value)) {}
Json::Json(std::string_view value) : value_(std::string(value)) {}

Json::Json(std::initializer_list<Json> items) {
  const auto is_member = [](const Json& item) { return item.is_array() && item.size() == 2 && item[0].is_string(); };
  if (!std::ranges::all_of(items, is_member)) {
    *this = array(items);
    return;
  }
  *this = object();
  for (const Json& item : items) add(item[0].string(), item[1]);
}

Json Json::array(std::initializer_list<Json> items) {
  Json json;
  json.value_ = std::vector<Json>(items);
  return json;
}

Json Json::object() {
  Json json;
  json.value_ = std::vector<Member>();
  return json;
}

const char* Json::type_name() const {
  switch (kind()) {
    case Kind::null:
      return "null";
    case Kind::boolean:
      return "boolean";
    case Kind::signed_integer:
    case Kind::unsigned_integer:
    case Kind::real:
      return "number";
    case Kind::string:
      return "string";
    case Kind::array:
      return "array";
    case Kind::object:
      return "object";
  }
  return "";
}

bool Json::to_bool() const {
  CHECK(is_boolean(), "JSON of type {} was asked for its boolean", type_name());
  return std::get<bool>(value_);
}

std::int64_t Json::to_signed() const {
  if (is_number_unsigned()) return static_cast<std::int64_t>(std::get<std::uint64_t>(value_));
  if (is_number_float()) return static_cast<std::int64_t>(std::get<double>(value_));
  CHECK(is_number(), "JSON of type {} was asked for its number", type_name());
  return std::get<std::int64_t>(value_);
}

std::uint64_t Json::to_unsigned() const {
  if (is_number_float()) return static_cast<std::uint64_t>(std::get<double>(value_));
  return is_number_unsigned() ? std::get<std::uint64_t>(value_) : static_cast<std::uint64_t>(to_signed());
}

double Json::to_double() const {
  if (is_number_float()) return std::get<double>(value_);
  return is_number_unsigned() ? static_cast<double>(std::get<std::uint64_t>(value_)) : static_cast<double>(to_signed());
}

const std::string& Json::string() const {
  CHECK(is_string(), "JSON of type {} was asked for its string", type_name());
  return std::get<std::string>(value_);
}

std::size_t Json::size() const {
  if (is_array()) return std::get<std::vector<Json>>(value_).size();
  if (is_object()) return std::get<std::vector<Member>>(value_).size();
  CHECK(is_null(), "JSON of type {} was asked for its size", type_name());
  return 0;
}

const Json* Json::begin() const {
  CHECK(is_array() || is_null(), "JSON of type {} was asked for its items", type_name());
  return is_null() ? nullptr : std::get<std::vector<Json>>(value_).data();
}

const Json* Json::end() const {
  return is_null() ? nullptr : begin() + size();
}

Json* Json::begin() {
  return const_cast<Json*>(std::as_const(*this).begin());
}

Json* Json::end() {
  return const_cast<Json*>(std::as_const(*this).end());
}

const Json& Json::operator[](std::size_t index) const {
  CHECK(is_array() && index < size(), "item {} was asked of {}", index, write_json(*this));
  return std::get<std::vector<Json>>(value_)[index];
}

Json& Json::operator[](std::size_t index) {
  return const_cast<Json&>(std::as_const(*this)[index]);
}

Json& Json::push_back(Json item) {
  if (is_null()) *this = array();
  CHECK(is_array(), "an item was added to JSON of type {}", type_name());
  return std::get<std::vector<Json>>(value_).emplace_back(std::move(item));
}

void Json::erase(std::size_t index) {
  CHECK(is_array() && index < size(), "item {} of {} was to be erased", index, write_json(*this));
  auto& list = std::get<std::vector<Json>>(value_);
  list.erase(list.begin() + static_cast<std::ptrdiff_t>(index));
}

const std::vector<Json::Member>& Json::items() const {
  static const std::vector<Member> none;
  CHECK(is_object() || is_null(), "JSON of type {} was asked for its members", type_name());
  return is_null() ? none : std::get<std::vector<Member>>(value_);
}

std::vector<Json::Member>& Json::items() {
  if (is_null()) *this = object();
  return const_cast<std::vector<Member>&>(std::as_const(*this).items());
}

const Json* Json::find(std::string_view key) const {
  if (!is_object()) return nullptr;
  const auto place = std::ranges::find(items(), key, &Member::key);
  return place == items().end() ? nullptr : &place->value;
}

const Json& Json::operator[](std::string_view key) const {
  const Json* found = find(key);
  CHECK(found != nullptr, "member {} was asked of {}", key, write_json(*this));
  return *found;
}

Json& Json::operator[](std::string_view key) {
  if (const Json* found = find(key)) return const_cast<Json&>(*found);
  return add(std::string(key), Json());
}

Json& Json::add(std::string key, Json value) {
  return items().emplace_back(Member{std::move(key), std::move(value)}).value;
}

void Json::erase(std::string_view key) {
  std::erase_if(items(), [&](const Member& member) { return member.key == key; });
}

bool operator==(const Json& a, const Json& b) {
  if (!a.is_number() || !b.is_number()) return a.value_ == b.value_;
  if (a.is_number_float() || b.is_number_float()) return a.to_double() == b.to_double();
  const auto negative = [](const Json& json) { return !json.is_number_unsigned() && json.to_signed() < 0; };
  return negative(a) == negative(b) && a.to_unsigned() == b.to_unsigned();
}

std::ostream& operator<<(std::ostream& out, const Json& json) {
  return out << write_json(json);
}

}  // namespace godwit
