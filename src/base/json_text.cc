// JSON's text. simdjson and nlohmann's library are touched here only.
#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_set>

#include "base/json.h"

namespace godwit {

// ---- Reading ----

namespace {

namespace od = simdjson::ondemand;

struct Position {
  std::size_t line;
  std::size_t column;
};

// Lines and columns count from 1; a column is a byte.
Position position_of(std::string_view text, std::size_t offset) {
  Position position{1, 1};
  for (std::size_t i = 0; i < offset && i < text.size(); ++i) {
    if (text[i] == '\n') {
      ++position.line;
      position.column = 1;
    } else {
      ++position.column;
    }
  }
  return position;
}

// Accepts everything and remembers only where and why nlohmann's parser stopped: simdjson says *that* a document is broken, quickly; only
// then is it read again, slowly, to say where.
struct SyntaxErrorFinder {
  std::size_t offset = 0;
  std::string reason;
  bool null() { return true; }
  bool boolean(bool) { return true; }
  bool number_integer(nlohmann::json::number_integer_t) { return true; }
  bool number_unsigned(nlohmann::json::number_unsigned_t) { return true; }
  bool number_float(nlohmann::json::number_float_t, const std::string&) { return true; }
  bool string(std::string&) { return true; }
  bool binary(nlohmann::json::binary_t&) { return true; }
  bool start_object(std::size_t) { return true; }
  bool key(std::string&) { return true; }
  bool end_object() { return true; }
  bool start_array(std::size_t) { return true; }
  bool end_array() { return true; }
  template <typename Exception>
  bool parse_error(std::size_t position, const std::string&, const Exception& exception) {
    offset = position == 0 ? 0 : position - 1;
    reason = exception.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error while …": the end is what a reader needs.
    if (const auto colon = reason.find(": "); colon != std::string::npos) reason.erase(0, colon + 2);
    return false;
  }
};

class Builder {
 public:
  Builder(std::string_view text, std::string_view name, JsonLimits limits) : text_(text), name_(name), limits_(limits) {}

  Result<Json> parse() {
    if (text_.size() > limits_.bytes_max) {
      return input_error("{}: is {} bytes of JSON; at most {} are read here", name_, text_.size(), limits_.bytes_max);
    }
    padded_.reserve(text_.size() + simdjson::SIMDJSON_PADDING);
    padded_.assign(text_);
    od::parser parser;
    // One level more than the limit, so that it is this code, with a position at hand, that refuses depth.
    if (parser.allocate(padded_.size(), limits_.depth_max + 2) != simdjson::SUCCESS) {
      return world_error("{}: no memory to parse {} bytes of JSON", name_, padded_.size());
    }
    od::document document;
    Json json;
    auto code = parser.iterate(padded_.data(), padded_.size(), padded_.capacity()).get(document);
    if (code == simdjson::SUCCESS) code = root(document, json);
    // A document that was read to its end has no current location.
    if (code == simdjson::SUCCESS && document.current_location().error() == simdjson::SUCCESS) code = simdjson::TRAILING_CONTENT;
    if (refusal_) return Error{*std::move(refusal_)};
    if (code != simdjson::SUCCESS) return syntax_error(code);
    return json;
  }

 private:
  Error syntax_error(simdjson::error_code code) const {
    SyntaxErrorFinder finder;
    if (nlohmann::json::sax_parse(text_.begin(), text_.end(), &finder))
      return input_error("{}: not valid JSON: {}", name_, simdjson::error_message(code));
    const auto [line, column] = position_of(text_, finder.offset);
    return input_error("{}:{}:{}: not valid JSON: {}", name_, line, column, finder.reason);
  }

  simdjson::error_code refuse(const char* where, const std::string& reason) {
    const auto [line, column] = position_of(text_, static_cast<std::size_t>(where - padded_.data()));
    refusal_ = input_error("{}:{}:{}: {}", name_, line, column, reason);
    return simdjson::INCORRECT_TYPE;
  }

  simdjson::error_code root(od::document& document, Json& out) {
    bool scalar = false;
    if (auto code = document.is_scalar().get(scalar)) return code;
    if (scalar) return any(document, out, 0);
    od::value value;
    if (auto code = document.get_value().get(value)) return code;
    return any(value, out, 0);
  }

  template <typename Value>
  simdjson::error_code any(Value& value, Json& out, std::size_t depth) {
    od::json_type type;
    if (auto code = value.type().get(type)) return code;
    switch (type) {
      case od::json_type::array:
        if constexpr (std::is_same_v<Value, od::value>) return array(value, out, depth + 1);
        break;
      case od::json_type::object:
        if constexpr (std::is_same_v<Value, od::value>) return object(value, out, depth + 1);
        break;
      case od::json_type::number:
        return number(value, out);
      case od::json_type::string: {
        std::string_view text;
        if (auto code = value.get_string().get(text)) return code;
        out = Json(std::string(text));
        return simdjson::SUCCESS;
      }
      case od::json_type::boolean: {
        bool flag = false;
        if (auto code = value.get_bool().get(flag)) return code;
        out = flag;
        return simdjson::SUCCESS;
      }
      case od::json_type::null: {
        bool is_null = false;
        if (auto code = value.is_null().get(is_null)) return code;
        out = nullptr;
        return is_null ? simdjson::SUCCESS : simdjson::N_ATOM_ERROR;
      }
    }
    return simdjson::INCORRECT_TYPE;
  }

  simdjson::error_code too_deep(od::value& value) {
    const char* where = padded_.data();
    if (value.current_location().get(where)) where = padded_.data();
    return refuse(where, fmt::format("nested deeper than {} levels", limits_.depth_max));
  }

  simdjson::error_code array(od::value& value, Json& out, std::size_t depth) {
    if (depth > limits_.depth_max) return too_deep(value);
    od::array items;
    if (auto code = value.get_array().get(items)) return code;
    out = Json::array();
    for (auto item : items) {
      od::value element;
      if (auto code = std::move(item).get(element)) return code;
      if (auto code = any(element, out.push_back(nullptr), depth)) return code;
    }
    return simdjson::SUCCESS;
  }

  simdjson::error_code object(od::value& value, Json& out, std::size_t depth) {
    if (depth > limits_.depth_max) return too_deep(value);
    od::object fields;
    if (auto code = value.get_object().get(fields)) return code;
    out = Json::object();
    std::unordered_set<std::string_view> seen;  // views of the parser's own buffer, which outlives this
    for (auto entry : fields) {
      od::field field;
      if (auto code = std::move(entry).get(field)) return code;
      const char* where = field.key().raw();
      std::string_view key;
      if (auto code = field.unescaped_key().get(key)) return code;
      if (!seen.insert(key).second) return refuse(where - 1, fmt::format("the key \"{}\" appears twice in one object", key));
      if (auto code = any(field.value(), out.add(std::string(key), nullptr), depth)) return code;
    }
    return simdjson::SUCCESS;
  }

  template <typename Value>
  simdjson::error_code number(Value& value, Json& out) {
    std::string_view token;
    if constexpr (std::is_same_v<Value, od::value>) {
      token = value.raw_json_token();
    } else if (auto code = value.raw_json_token().get(token)) {
      return code;
    }
    if (is_integer_beyond_64_bits(token)) {
      double approximate = 0;
      if (auto code = value.get_double().get(approximate)) return code;
      out = approximate;
      return simdjson::SUCCESS;
    }
    od::number parsed;
    if (auto code = value.get_number().get(parsed)) return code;
    if (parsed.is_uint64()) {
      out = parsed.get_uint64();
    } else if (!parsed.is_int64()) {
      out = parsed.get_double();
    } else if (parsed.get_int64() >= 0) {
      out = static_cast<std::uint64_t>(parsed.get_int64());  // non-negative integers have one type whatever their size
    } else {
      out = parsed.get_int64();
    }
    return simdjson::SUCCESS;
  }

  // Such a number becomes a double, as in other readers: Hugging Face writes int(1e30) for "no limit".
  static bool is_integer_beyond_64_bits(std::string_view token) {
    const std::size_t end = token.find_first_not_of("0123456789", token.starts_with('-') ? 1 : 0);
    if (end != std::string_view::npos) {
      if (token[end] == '.' || token[end] == 'e' || token[end] == 'E') return false;
      token = token.substr(0, end);
    }
    std::int64_t negative = 0;
    std::uint64_t positive = 0;
    const auto error = token.starts_with('-') ? std::from_chars(token.data(), token.data() + token.size(), negative).ec
                                              : std::from_chars(token.data(), token.data() + token.size(), positive).ec;
    return error == std::errc::result_out_of_range;
  }

  std::string_view text_;
  std::string_view name_;
  JsonLimits limits_;
  std::string padded_;
  std::optional<Error> refusal_;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view name, JsonLimits limits) {
  return Builder(text, name, limits).parse();
}

// ---- Writing ----

namespace {

// Strings and floats as nlohmann's library writes them.
template <typename Value>
std::string written(const Value& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void write(const Json& json, int indent, std::size_t depth, std::string& out);

// The items between their brackets, each on a line of its own if there is an indent.
template <typename Items, typename WriteItem>
void write_items(const Items& items, std::string_view brackets, int indent, std::size_t depth, std::string& out, WriteItem write_item) {
  const auto new_line = [&](std::size_t levels) {
    if (indent < 0) return;
    out += '\n';
    out.append(levels * static_cast<std::size_t>(indent), ' ');
  };
  out += brackets[0];
  bool first = true;
  for (const auto& item : items) {
    if (!first) out += ',';
    first = false;
    new_line(depth + 1);
    write_item(item);
  }
  if (!first) new_line(depth);
  out += brackets[1];
}

void write(const Json& json, int indent, std::size_t depth, std::string& out) {
  switch (json.kind()) {
    case Json::Kind::null:
      out += "null";
      return;
    case Json::Kind::boolean:
      out += json.get<bool>() ? "true" : "false";
      return;
    case Json::Kind::signed_integer:
      out += fmt::to_string(json.get<std::int64_t>());
      return;
    case Json::Kind::unsigned_integer:
      out += fmt::to_string(json.get<std::uint64_t>());
      return;
    case Json::Kind::real:
      out += written(json.get<double>());
      return;
    case Json::Kind::string:
      out += written(json.string());
      return;
    case Json::Kind::array:
      write_items(json, "[]", indent, depth, out, [&](const Json& item) { write(item, indent, depth + 1, out); });
      return;
    case Json::Kind::object:
      write_items(json.items(), "{}", indent, depth, out, [&](const Json::Member& member) {
        out += written(member.key) + (indent < 0 ? ":" : ": ");
        write(member.value, indent, depth + 1, out);
      });
      return;
  }
}

}  // namespace

std::string write_json(const Json& json, int indent) {
  std::string text;
  write(json, indent, 0, text);
  return text;
}

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace godwit
