// What a configuration looks like to people: as TOML, as the reference's tables, and the names they may have meant.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/config.h"

namespace godwit {
namespace {

std::string toml_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string toml_key(std::string_view key) {
  const bool bare = !key.empty() && std::ranges::all_of(key, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  return bare ? std::string(key) : toml_text(key);
}

// A TOML float has a point or an exponent; fmt gives the fewest digits that read back to the same double.
std::string toml_real(double real) {
  CHECK(std::isfinite(real), "{} is no value of a configuration", real);
  std::string text = fmt::format("{}", real);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string value_column(const ConfigKey& key) {
  static constexpr std::string_view names[] = {"true or false",         "integer",         "number",         "text",
                                               "text or list of texts", "list of numbers", "list of tables", "table"};
  if (!key.choices.empty()) return fmt::format("`\"{}\"`", fmt::join(key.choices, "\"`, `\""));
  std::string text(names[static_cast<std::size_t>(key.type)]);
  if (key.type != ConfigType::integer && key.type != ConfigType::real && key.type != ConfigType::reals) return text;
  if (key.minimum > -1e300) text += fmt::format(" ≥ {}", key.minimum);
  if (key.maximum < 1e15) text += fmt::format("{} ≤ {}", key.minimum > -1e300 ? "," : "", key.maximum);  // beyond, nobody meets the limit
  return text;
}

std::string in_table(std::string text) {
  for (std::size_t i = 0; (i = text.find('|', i)) != std::string::npos; i += 2) text.insert(i, 1, '\\');
  return text;
}

// Optimal string alignment distance, or limit + 1 as soon as it is certain to be beyond the limit.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  const std::size_t longer = std::max(a.size(), b.size());
  const std::size_t shorter = std::min(a.size(), b.size());
  if (longer - shorter > limit) return limit + 1;
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

}  // namespace

std::string toml_value(const Json& value) {
  switch (value.kind()) {
    case Json::Kind::boolean:
      return value.get<bool>() ? "true" : "false";
    case Json::Kind::signed_integer:
    case Json::Kind::unsigned_integer:
      return write_json(value);
    case Json::Kind::real:
      return toml_real(value.get<double>());
    case Json::Kind::string:
      return toml_text(value.string());
    case Json::Kind::array: {
      std::vector<std::string> items;
      for (const Json& item : value) items.push_back(toml_value(item));
      return fmt::format("[{}]", fmt::join(items, ", "));
    }
    default:
      break;
  }
  CHECK(value.is_object(), "TOML has no {}", value.type_name());
  std::vector<std::string> items;
  for (const auto& [key, item] : value.items()) items.push_back(fmt::format("{} = {}", toml_key(key), toml_value(item)));
  return items.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(items, ", "));
}

std::string Config::toml() const {
  std::vector<std::string> sections;
  for (const auto& [section, key] : order_) {
    if (std::ranges::find(sections, section) == sections.end()) sections.push_back(section);
  }
  std::string text;
  for (const std::string& name : sections) {
    const Json values = section(name);
    if (values.empty()) continue;
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", toml_key(name));
    for (const auto& [key, value] : values.items()) text += fmt::format("{} = {}\n", toml_key(key), toml_value(value));
  }
  return text;
}

std::string config_reference(std::span<const ConfigKey> keys, std::span<const OpenSection> open_sections) {
  std::vector<std::string> sections;
  const auto add = [&](const std::string& name) {
    if (std::ranges::find(sections, name) == sections.end()) sections.push_back(name);
  };
  for (const ConfigKey& key : keys) add(key.section);
  for (const OpenSection& open : open_sections) add(open.section);

  std::string text;
  for (const std::string& section : sections) {
    text += fmt::format("{}## [{}]\n\n", text.empty() ? "" : "\n", section);
    if (std::ranges::any_of(keys, [&](const ConfigKey& key) { return key.section == section; })) {
      text += "| key | value | default | on resume | meaning |\n|---|---|---|---|---|\n";
    }
    for (const ConfigKey& key : keys) {
      if (key.section != section) continue;
      const std::string fallback = key.required             ? "**required**"
                                   : key.fallback.is_null() ? ""
                                                            : fmt::format("`{}`", toml_value(key.fallback));
      text += fmt::format("| `{}` | {} | {} | {} | {} |\n", key.key, in_table(value_column(key)), in_table(fallback),
                          key.may_change ? "may change" : "fixed", in_table(key.description));
    }
    for (const OpenSection& open : open_sections) {
      if (open.section == section) text += fmt::format("\nIt also takes: `{}`.\n", fmt::join(open.known, "`, `"));
    }
  }
  return text;
}

std::string nearest_name(std::string_view name, std::span<const std::string> known) {
  // One slip in a short name, two in an ordinary one, a quarter of a long one: more is another word.
  const std::size_t limit = name.size() <= 3 ? 1 : name.size() <= 8 ? 2 : std::min<std::size_t>(name.size() / 4 + 1, 8);
  std::string best;
  std::size_t best_distance = limit + 1;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(name, candidate, limit);
    if (distance < best_distance && distance < std::max(name.size(), candidate.size())) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace godwit
