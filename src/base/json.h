// JSON: a value, read by simdjson (strict, with limits and positions in its errors), written by nlohmann's rules.
//
// The libraries are seen by json_text.cc alone: their headers cost every file that includes them a second and a half.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"

namespace godwit {

// null, a boolean, a number, a string, an array or an object. Objects keep the order in which their members came; finding one walks them
// all.
//
// A whole number that is not negative is unsigned when it was read, signed or unsigned as it was given when made here; both are integers,
// and numbers compare by value. Asking a value for what it is not is a bug and aborts: look first (is_array(), find()).
class Json {
 public:
  enum class Kind : std::uint8_t { null, boolean, signed_integer, unsigned_integer, real, string, array, object };
  struct Member;

  Json();
  Json(const Json& other);
  Json(Json&& other) noexcept;
  Json& operator=(const Json& other);
  Json& operator=(Json&& other) noexcept;
  ~Json();

  Json(std::nullptr_t) : Json() {}
  template <std::same_as<bool> T>
  Json(T value) : Json(Boolean{value}) {}
  template <std::signed_integral T>
  Json(T value) : Json(SignedInteger{value}) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) Json(T value) : Json(UnsignedInteger{value}) {}
  Json(double value);
  Json(std::string value);
  Json(std::string_view value);
  Json(const char* value) : Json(std::string_view(value)) {}
  // A list of anything that is JSON.
  template <typename List>
  requires(!std::convertible_to<List, std::string_view> && !std::convertible_to<List, std::string> &&
           std::convertible_to<typename List::value_type, Json>) Json(const List& list)
      : Json(array()) {
    for (const auto& item : list) push_back(item);
  }
  // {{"a", 1}, {"b", 2}}, where every item is a pair that begins with a string, is an object; anything else an array.
  Json(std::initializer_list<Json> items);
  // What braces alone could not say: an array of such pairs, an empty object.
  [[nodiscard]] static Json array(std::initializer_list<Json> items = {});
  [[nodiscard]] static Json object();

  [[nodiscard]] Kind kind() const { return static_cast<Kind>(value_.index()); }
  [[nodiscard]] bool is_null() const { return kind() == Kind::null; }
  [[nodiscard]] bool is_boolean() const { return kind() == Kind::boolean; }
  [[nodiscard]] bool is_number() const { return is_number_integer() || is_number_float(); }
  [[nodiscard]] bool is_number_integer() const { return kind() == Kind::signed_integer || is_number_unsigned(); }
  [[nodiscard]] bool is_number_unsigned() const { return kind() == Kind::unsigned_integer; }
  [[nodiscard]] bool is_number_float() const { return kind() == Kind::real; }
  [[nodiscard]] bool is_string() const { return kind() == Kind::string; }
  [[nodiscard]] bool is_array() const { return kind() == Kind::array; }
  [[nodiscard]] bool is_object() const { return kind() == Kind::object; }
  // "object", "array", "string", "number", "boolean", "null"
  [[nodiscard]] const char* type_name() const;

  // bool, std::string, any type of number (converted as a cast does), Json itself, or a std::vector of these.
  template <typename T>
  [[nodiscard]] T get() const;
  [[nodiscard]] const std::string& string() const;

  // Items of an array or members of an object; none of null.
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }

  // ---- Arrays; null is an empty one that becomes one ----
  [[nodiscard]] const Json* begin() const;
  [[nodiscard]] const Json* end() const;
  [[nodiscard]] Json* begin();
  [[nodiscard]] Json* end();
  [[nodiscard]] const Json& operator[](std::size_t index) const;
  [[nodiscard]] Json& operator[](std::size_t index);
  [[nodiscard]] const Json& front() const { return (*this)[0]; }
  Json& push_back(Json item);
  void erase(std::size_t index);

  // ---- Objects; null is an empty one that becomes one ----
  [[nodiscard]] const std::vector<Member>& items() const;
  [[nodiscard]] std::vector<Member>& items();
  // The member, or nullptr: also of what is no object.
  [[nodiscard]] const Json* find(std::string_view key) const;
  [[nodiscard]] bool contains(std::string_view key) const { return find(key) != nullptr; }
  // The member, which must be there.
  [[nodiscard]] const Json& operator[](std::string_view key) const;
  // The member; null is put there if it is missing.
  [[nodiscard]] Json& operator[](std::string_view key);
  // The member, or what to take if there is none.
  template <typename T>
  [[nodiscard]] T value(std::string_view key, T otherwise) const {
    const Json* found = find(key);
    return found == nullptr ? std::move(otherwise) : found->get<T>();
  }
  // Adds a member whose key is known to be new: without looking, which for a vocabulary of 128 K tokens would cost n².
  Json& add(std::string key, Json value);
  void erase(std::string_view key);

  friend bool operator==(const Json& a, const Json& b);

 private:
  struct Boolean {
    bool value;
  };
  struct SignedInteger {
    std::int64_t value;
  };
  struct UnsignedInteger {
    std::uint64_t value;
  };
  explicit Json(Boolean boolean);
  explicit Json(SignedInteger integer);
  explicit Json(UnsignedInteger integer);
  [[nodiscard]] bool to_bool() const;
  [[nodiscard]] std::int64_t to_signed() const;
  [[nodiscard]] std::uint64_t to_unsigned() const;
  [[nodiscard]] double to_double() const;

  // In the order of Kind.
  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, std::vector<Json>, std::vector<Member>> value_;
};

struct Json::Member {
  std::string key;
  Json value;
  friend bool operator==(const Member&, const Member&) = default;
};

template <typename T>
T Json::get() const {
  if constexpr (std::same_as<T, bool>) {
    return to_bool();
  } else if constexpr (std::signed_integral<T>) {
    return static_cast<T>(to_signed());
  } else if constexpr (std::unsigned_integral<T>) {
    return static_cast<T>(to_unsigned());
  } else if constexpr (std::floating_point<T>) {
    return static_cast<T>(to_double());
  } else if constexpr (std::same_as<T, std::string>) {
    return string();
  } else if constexpr (std::same_as<T, Json>) {
    return *this;
  } else {
    T list;
    for (const Json& item : *this) list.push_back(item.get<typename T::value_type>());
    return list;
  }
}

// For people who read a failed test.
std::ostream& operator<<(std::ostream& out, const Json& json);

struct JsonLimits {
  std::size_t bytes_max = std::size_t{1} << 30;
  std::size_t depth_max = 64;
};

// Parses one whole JSON document. `name` (a file name, "line 3 of x.jsonl") opens every error message. Refuses duplicate keys, invalid
// UTF-8, trailing text, and documents deeper or larger than the limits. Key order is kept. Thread-safe.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits = {});

// One line without spaces, ASCII kept as is, other characters as UTF-8 (invalid bytes become U+FFFD). Floats print so that they read back
// to the same double; NaN and infinities, which JSON lacks, are written as null. indent >= 0: a line per item, indented by so many blanks.
[[nodiscard]] std::string write_json(const Json& json, int indent = -1);

[[nodiscard]] bool is_utf8(std::string_view text);

}  // namespace godwit
