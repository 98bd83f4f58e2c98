#include "base/config.h"

// toml++ is touched here only. It recurses as deep as values are nested; deep keys are refused before it sees them.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/file.h"

namespace godwit {
namespace {

constexpr std::uint64_t config_bytes_max = std::uint64_t{1} << 20;
constexpr int key_depth_max = 16;
constexpr std::size_t shown_names_max = 40;

// A value in an error message: whole if it is short.
std::string shown(const Json& value) {
  constexpr std::size_t bytes_max = 80;
  std::string text = toml_value(value);
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end) + "…";
}

// A name from a file in an error message: bare where TOML allows it bare.
std::string shown_name(std::string_view name) {
  const bool bare = !name.empty() && name.size() <= 80 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? std::string(name) : shown(Json(std::string(name)));
}

const ConfigKey* find_key(std::span<const ConfigKey> keys, std::string_view section, std::string_view key) {
  const auto place = std::ranges::find_if(keys, [&](const ConfigKey& k) { return k.section == section && k.key == key; });
  return place == keys.end() ? nullptr : &*place;
}

struct Declarations {
  std::span<const ConfigKey> keys;
  std::span<const OpenSection> open_sections;

  [[nodiscard]] std::vector<std::string> sections() const {
    std::vector<std::string> names;
    const auto add = [&](const std::string& name) {
      if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    };
    for (const ConfigKey& key : keys) add(key.section);
    for (const OpenSection& open : open_sections) add(open.section);
    return names;
  }

  [[nodiscard]] std::vector<std::string> names_in(std::string_view section) const {
    std::vector<std::string> names;
    for (const ConfigKey& key : keys) {
      if (key.section == section) names.push_back(key.key);
    }
    for (const OpenSection& open : open_sections) {
      if (open.section == section) names.insert(names.end(), open.known.begin(), open.known.end());
    }
    return names;
  }

  // "; did you mean [data]?", or what there is.
  [[nodiscard]] std::string section_advice(std::string_view name) const {
    const std::vector<std::string> names = sections();
    if (const std::string near = nearest_name(name, names); !near.empty()) return fmt::format("; did you mean [{}]?", near);
    return fmt::format("; there are: {}", fmt::join(names, ", "));
  }

  [[nodiscard]] std::string key_advice(std::string_view section, std::string_view key) const {
    const std::vector<std::string> names = names_in(section);
    if (const std::string near = nearest_name(key, names); !near.empty()) return fmt::format("; did you mean {}?", near);
    for (const ConfigKey& other : keys) {
      if (other.key == key) return fmt::format("; it belongs in [{}]", other.section);
    }
    return names.size() > shown_names_max ? std::string() : fmt::format("; there are: {}", fmt::join(names, ", "));
  }
};

// "at least 1", "from 0 to 1"; empty if there is no limit.
std::string range_text(const ConfigKey& key) {
  const bool from = key.minimum > -1e300;
  const bool to = key.maximum < 1e300;
  if (from && to) return fmt::format("from {} to {}", key.minimum, key.maximum);
  if (from) return fmt::format("at least {}", key.minimum);
  return to ? fmt::format("at most {}", key.maximum) : std::string();
}

Error wanted(std::string_view origin, const Json& value, std::string_view what) {
  return input_error("{} = {}: {} is wanted", origin, shown(value), what);
}

Result<Json> checked_real(const ConfigKey& key, const Json& value, std::string_view origin, std::string_view what) {
  if (!value.is_number()) return wanted(origin, value, what);
  const double real = value.get<double>();
  if (!std::isfinite(real)) return wanted(origin, value, "a finite number");
  if (real < key.minimum || real > key.maximum) return wanted(origin, value, range_text(key));
  return Json(real);
}

Result<Json> checked_integer(const ConfigKey& key, const Json& value, std::string_view origin) {
  if (!value.is_number_integer()) return wanted(origin, value, "an integer");
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return wanted(origin, value, "at most 9223372036854775807");
  }
  const auto integer = value.get<std::int64_t>();
  const auto real = static_cast<double>(integer);
  if (real < key.minimum || real > key.maximum) return wanted(origin, value, range_text(key));
  return Json(integer);
}

Result<Json> checked_text(const ConfigKey& key, const Json& value, std::string_view origin, std::string_view what) {
  if (!value.is_string()) return wanted(origin, value, what);
  const std::string& text = value.get_ref<const std::string&>();
  if (key.choices.empty() || std::ranges::find(key.choices, text) != key.choices.end()) return value;
  const std::string near = nearest_name(text, key.choices);
  return input_error("{} = {}: {}\"{}\" is wanted{}", origin, shown(value), key.choices.size() > 1 ? "one of " : "",
                     fmt::join(key.choices, "\", \""), near.empty() ? "" : fmt::format("; did you mean \"{}\"?", near));
}

// The value in the form it is kept in (a real as a double, texts as a list), or what is wrong with it. `origin` opens the errors.
Result<Json> checked(const Declarations& declarations, const ConfigKey& key, Json value, std::string_view origin) {
  switch (key.type) {
    case ConfigType::boolean:
      if (!value.is_boolean()) return wanted(origin, value, "true or false");
      return value;
    case ConfigType::integer:
      return checked_integer(key, value, origin);
    case ConfigType::real:
      return checked_real(key, value, origin, "a number");
    case ConfigType::text:
      return checked_text(key, value, origin, "a text");
    case ConfigType::texts: {
      if (!value.is_array()) value = Json::array({value});
      for (const Json& item : value) TRY(checked_text(key, item, origin, "a text or a list of texts"));
      return value;
    }
    case ConfigType::reals: {
      if (!value.is_array()) return wanted(origin, value, "a list of numbers");
      for (Json& item : value) {
        TRY_ASSIGN(item, checked_real(key, item, origin, "a list of numbers"));
      }
      return value;
    }
    case ConfigType::tables: {
      if (!value.is_array()) return wanted(origin, value, "a list of tables");
      for (std::size_t i = 0; i < value.size(); ++i) {
        if (!value[i].is_object()) return wanted(origin, value[i], "a list of tables");
        for (auto& [name, part] : value[i].items()) {
          const std::string part_origin = fmt::format("{}[{}].{}", origin, i, shown_name(name));
          const ConfigKey* rule = find_key(declarations.keys, key.section, name);
          if (rule == nullptr) {
            return input_error("{} is not a key{}", part_origin, declarations.key_advice(key.section, name));
          }
          TRY_ASSIGN(part, checked(declarations, *rule, std::move(part), part_origin));
        }
      }
      return value;
    }
  }
  CHECK(false, "[{}] {} has an unknown type", key.section, key.key);
}

// toml++ keeps tables sorted by name; people read them as they were written.
std::vector<std::pair<const toml::key*, const toml::node*>> in_file_order(const toml::table& table) {
  std::vector<std::pair<const toml::key*, const toml::node*>> entries;
  for (const auto& [key, node] : table) entries.emplace_back(&key, &node);
  std::ranges::stable_sort(entries, [](const auto& a, const auto& b) {
    const toml::source_position x = a.first->source().begin;
    const toml::source_position y = b.first->source().begin;
    return std::pair(x.line, x.column) < std::pair(y.line, y.column);
  });
  return entries;
}

Result<Json> to_json(const toml::node& node, std::string_view origin) {
  if (const auto* boolean = node.as_boolean()) return Json(boolean->get());
  if (const auto* integer = node.as_integer()) return Json(integer->get());
  if (const auto* real = node.as_floating_point()) {
    if (!std::isfinite(real->get())) return input_error("{} = {}: a finite number is wanted", origin, real->get());
    return Json(real->get());
  }
  if (const auto* text = node.as_string()) {
    if (text->get().find('\0') != std::string::npos) return input_error("{} holds a NUL character; no value has one", origin);
    return Json(text->get());
  }
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const toml::node& item : *array) {
      TRY_ASSIGN(list.emplace_back(), to_json(item, origin));
    }
    return list;
  }
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (const auto& [key, item] : in_file_order(*table)) {
      TRY_ASSIGN(object[std::string(key->str())], to_json(*item, origin));
    }
    return object;
  }
  return input_error("{} is a date or a time; no key takes one, put it in quotes if a text is meant", origin);
}

// The line of the first key of more than key_depth_max parts, if there is one. toml++ has no limit there, and takes its tables apart by
// recursion. Follows TOML's strings and comments as far as the text is TOML; where it is not, toml++ stops reading.
std::optional<int> first_deep_key(std::string_view text) {
  int line = 1;
  int dots = 0;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '#') {
      while (i < text.size() && text[i] != '\n') ++i;
      continue;
    }
    if (c == '"' || c == '\'') {
      const std::string_view triple = c == '"' ? "\"\"\"" : "'''";
      const std::string_view end = text.substr(i).starts_with(triple) ? triple : triple.substr(0, 1);
      i += end.size();
      while (i < text.size() && !text.substr(i).starts_with(end)) {
        if (text[i] == '\n') {
          if (end.size() == 1) break;  // not TOML
          ++line;
        }
        i += c == '"' && text[i] == '\\' && i + 1 < text.size() && text[i + 1] != '\n' ? 2 : 1;
      }
      i = std::min(text.size(), i + end.size());
      if (end.size() == 1 && text[i - 1] == '\n') --i;
      while (end.size() == 3 && i < text.size() && text[i] == c) ++i;  // a multi-line text may end in up to two quotes of its own
      continue;
    }
    if (c == '.' && ++dots >= key_depth_max) return line;
    if (c == '\n' || c == '=' || c == ',' || c == '{' || c == '[') dots = 0;
    if (c == '\n') ++line;
    ++i;
  }
  return std::nullopt;
}

Result<toml::table> parse_toml(std::string_view text, std::string_view source) {
  if (const auto line = first_deep_key(text)) {
    return input_error("{}:{}: a key of more than {} parts", source, *line, key_depth_max);
  }
  toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return input_error("{}:{}:{}: {}", source, error.source().begin.line, error.source().begin.column, error.description());
  }
  return std::move(parsed).table();
}

// JSON's own writer is what knows UTF-8 here.
bool is_utf8(const std::string& text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

// What follows the = of a --set: a TOML value; a bare word is a text, and for a key that holds a text so is a number.
Result<Json> set_value(const std::string& raw, const ConfigKey* rule, std::string_view origin) {
  if (raw.empty()) return input_error("{} has no value; write KEY=VALUE, an empty text is '\"\"'", origin);
  if (!is_utf8(raw)) return input_error("{} is not valid UTF-8", origin);
  auto parsed = parse_toml("value = " + raw, "value");
  const toml::node* node = parsed.ok() && parsed->size() == 1 ? parsed->get("value") : nullptr;
  if (node == nullptr) {
    if (raw.find_first_of("[{\"'") == 0)
      return input_error("{} = {} is not TOML: {}", origin, shown(Json(raw)), parsed.ok() ? "more than one value" : parsed.error().message);
    return Json(raw);
  }
  const bool text_wanted = rule != nullptr && (rule->type == ConfigType::text || rule->type == ConfigType::texts);
  if (text_wanted && !node->is_string() && !node->is_array() && !node->is_table()) return Json(raw);
  return to_json(*node, origin);
}

}  // namespace

Result<Config> Config::load(const std::filesystem::path& path, std::span<const std::string> sets, std::span<const ConfigKey> keys,
                            std::span<const OpenSection> open_sections) {
  TRY_ASSIGN(const std::string text, read_file(path, config_bytes_max));
  return parse(text, path.string(), sets, keys, open_sections);
}

Result<Config> Config::parse(std::string_view toml, std::string_view source, std::span<const std::string> sets,
                             std::span<const ConfigKey> keys, std::span<const OpenSection> open_sections) {
  Config config;
  config.keys_.assign(keys.begin(), keys.end());
  config.open_sections_.assign(open_sections.begin(), open_sections.end());
  for (const ConfigKey& key : keys) {
    CHECK(find_key(keys, key.section, key.key) == &key, "[{}] {} is declared twice", key.section, key.key);
    config.order_.emplace_back(key.section, key.key);
  }
  const Declarations declarations{config.keys_, config.open_sections_};
  const std::vector<std::string> sections = declarations.sections();

  TRY_ASSIGN(const toml::table document, parse_toml(toml, source));
  for (const auto& [section, node] : in_file_order(document)) {
    const std::string name(section->str());
    const std::string place = fmt::format("{}:{}", source, section->source().begin.line);
    const bool known = std::ranges::find(sections, name) != sections.end();
    const toml::table* table = node->as_table();
    if (table == nullptr && known) return input_error("{}: {} is a section: write [{}] above its keys", place, name, name);
    if (table == nullptr) {
      const auto key = std::ranges::find(keys, name, &ConfigKey::key);
      return input_error("{}: {} stands outside every section{}", place, shown_name(name),
                         key == keys.end() ? "" : fmt::format("; it belongs in [{}]", key->section));
    }
    if (!known) return input_error("{}: [{}] is not a section{}", place, shown_name(name), declarations.section_advice(name));
    for (const auto& [key, value] : in_file_order(*table)) {
      std::string origin = fmt::format("{}:{}: [{}] {}", source, key->source().begin.line, name, shown_name(key->str()));
      TRY_ASSIGN(Json json, to_json(*value, origin));
      TRY(config.lay(name, key->str(), std::move(json), std::move(origin), true));
    }
  }

  for (const std::string& set : sets) {
    const std::size_t equals = set.find('=');
    const std::size_t dot = set.find('.');
    if (equals == std::string::npos || dot >= equals) {
      return input_error("--set {}: SECTION.KEY=VALUE is wanted", shown(Json(set)));
    }
    const std::string section = set.substr(0, dot);
    const std::string key = set.substr(dot + 1, equals - dot - 1);
    std::string origin = fmt::format("--set {}.{}", shown_name(section), shown_name(key));
    if (std::ranges::find(sections, section) == sections.end()) {
      return input_error("{}: [{}] is not a section{}", origin, shown_name(section), declarations.section_advice(section));
    }
    TRY_ASSIGN(Json json, set_value(set.substr(equals + 1), find_key(keys, section, key), origin));
    TRY(config.lay(section, key, std::move(json), std::move(origin), true));
  }

  for (const ConfigKey& key : keys) {
    if (config.has(key.section, key.key)) continue;
    if (key.required) {
      return input_error("{}: [{}] {} is missing and has no default; write it there, or add --set {}.{}=VALUE", source, key.section,
                         key.key, key.section, key.key);
    }
    if (key.fallback.is_null()) continue;
    const auto laid = config.lay(key.section, key.key, key.fallback, fmt::format("[{}] {} (default)", key.section, key.key), false);
    CHECK(laid.ok(), "a default is refused: {}", laid.error().message);
  }
  return config;
}

Result<void> Config::lay(std::string_view section, std::string_view key, Json value, std::string origin, bool given) {
  const Declarations declarations{keys_, open_sections_};
  if (const ConfigKey* rule = find_key(keys_, section, key)) {
    TRY_ASSIGN(value, checked(declarations, *rule, std::move(value), origin));
  } else {
    const bool known = std::ranges::any_of(open_sections_, [&](const OpenSection& open) {
      return open.section == section && std::ranges::find(open.known, key) != open.known.end();
    });
    if (!known) return input_error("{} is not a key{}", origin, declarations.key_advice(section, key));
    const std::pair name{std::string(section), std::string(key)};
    if (std::ranges::find(order_, name) == order_.end()) order_.push_back(name);
  }
  values_[{std::string(section), std::string(key)}] = {std::move(value), given, std::move(origin)};
  return {};
}

const Config::Value* Config::find(std::string_view section, std::string_view key) const {
  const auto place = values_.find({std::string(section), std::string(key)});
  return place == values_.end() ? nullptr : &place->second;
}

const Config::Value& Config::known(std::string_view section, std::string_view key) const {
  const Value* value = find(section, key);
  CHECK(value != nullptr, "[{}] {} has no value", section, key);
  return *value;
}

bool Config::given(std::string_view section, std::string_view key) const {
  const Value* value = find(section, key);
  return value != nullptr && value->given;
}

bool Config::has(std::string_view section, std::string_view key) const {
  return find(section, key) != nullptr;
}

bool Config::boolean(std::string_view section, std::string_view key) const {
  return known(section, key).json.get<bool>();
}

std::int64_t Config::integer(std::string_view section, std::string_view key) const {
  const Json& json = known(section, key).json;
  CHECK(json.is_number_integer(), "[{}] {} is no integer", section, key);
  return json.get<std::int64_t>();
}

double Config::real(std::string_view section, std::string_view key) const {
  return known(section, key).json.get<double>();
}

std::string Config::text(std::string_view section, std::string_view key) const {
  return known(section, key).json.get<std::string>();
}

std::vector<std::string> Config::texts(std::string_view section, std::string_view key) const {
  return known(section, key).json.get<std::vector<std::string>>();
}

std::vector<double> Config::reals(std::string_view section, std::string_view key) const {
  return known(section, key).json.get<std::vector<double>>();
}

const Json& Config::value(std::string_view section, std::string_view key) const {
  return known(section, key).json;
}

Json Config::section(std::string_view name) const {
  Json values = Json::object();
  for (const auto& [section, key] : order_) {
    if (section != name) continue;
    if (const Value* value = find(section, key)) values[key] = value->json;
  }
  return values;
}

void Config::set(std::string_view section, std::string_view key, Json value) {
  if (value.is_null()) {
    values_.erase({std::string(section), std::string(key)});
    return;
  }
  const auto laid = lay(section, key, std::move(value), fmt::format("[{}] {} (resolved)", section, key), given(section, key));
  CHECK(laid.ok(), "{}", laid.error().message);
}

std::string Config::origin(std::string_view section, std::string_view key) const {
  const Value* value = find(section, key);
  return value != nullptr ? value->origin : fmt::format("[{}] {}", section, key);
}

std::vector<std::string> Config::differences(const Config& earlier) const {
  std::vector<std::pair<std::string, std::string>> names = order_;
  for (const auto& name : earlier.order_) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  }
  std::vector<std::string> lines;
  for (const auto& [section, key] : names) {
    const ConfigKey* rule = find_key(keys_, section, key);
    if (rule == nullptr) rule = find_key(earlier.keys_, section, key);
    if (rule != nullptr && rule->may_change) continue;
    const Value* here = find(section, key);
    const Value* there = earlier.find(section, key);
    if (here == there || (here != nullptr && there != nullptr && here->json == there->json)) continue;
    lines.push_back(fmt::format("{}.{}: {} there, {} here", section, key, there != nullptr ? shown(there->json) : "nothing",
                                here != nullptr ? shown(here->json) : "nothing"));
  }
  return lines;
}

}  // namespace godwit
