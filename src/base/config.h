// A run's configuration: TOML, with every key declared by the room that reads it.
//
// A declaration (ConfigKey) is at once the parser's rule, the default, the reference in docs/config.md, and what may change on resume.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace godwit {

enum class ConfigType : std::uint8_t {
  boolean,
  integer,  // within [minimum, maximum]
  real,     // an integer is taken too; within [minimum, maximum]
  text,     // one of `choices`, if there are any
  texts,    // one text or a list of them
  reals,    // a list of numbers
  tables,   // a list of tables whose keys are keys of the same section, checked alike (the parts of a mix); defaults are not laid in
  table,    // a table of booleans, numbers and texts, whose names are checked by whoever reads it; --set section.key.name=value adds to it
};

struct ConfigKey {
  std::string section;  // "data"
  std::string key;      // "sequence"
  ConfigType type = ConfigType::text;
  // The default. Null: none; asking for the value without `has` is then a bug.
  Json fallback = nullptr;
  bool required = false;    // parse fails without it
  bool may_change = false;  // cannot change the bits: may differ on resume
  double minimum = -1e300;  // of numbers; these two values mean no limit
  double maximum = 1e300;
  std::vector<std::string> choices = {};
  std::string description;  // one sentence for docs/config.md
};

// A section that takes keys beyond the declared ones ([model] takes every key of config.json): `known` lists them, for checking and for the
// nearest name in errors. Their values may be any TOML value and are kept as JSON.
struct OpenSection {
  std::string section;
  std::vector<std::string> known;
};

class Config {
 public:
  // Reads `path` (at most 1 MiB), lays `sets` ("data.batch=8": a TOML value, or a bare word taken as text) over it in their order, checks
  // every key and value. Errors name file and line (or --set), the key, the value, the nearest known key or the choices. Paths in the file
  // are not made absolute. NaN, infinities, dates, NUL characters and nesting beyond 16 levels are refused.
  [[nodiscard]] static Result<Config> load(const std::filesystem::path& path, std::span<const std::string> sets,
                                           std::span<const ConfigKey> keys, std::span<const OpenSection> open_sections);
  // The same from a TOML text; `source` opens the error messages.
  [[nodiscard]] static Result<Config> parse(std::string_view toml, std::string_view source, std::span<const std::string> sets,
                                            std::span<const ConfigKey> keys, std::span<const OpenSection> open_sections);

  // Given in the file or by --set (not by default).
  [[nodiscard]] bool given(std::string_view section, std::string_view key) const;
  // Has a value, given or by default.
  [[nodiscard]] bool has(std::string_view section, std::string_view key) const;
  [[nodiscard]] bool boolean(std::string_view section, std::string_view key) const;
  [[nodiscard]] std::int64_t integer(std::string_view section, std::string_view key) const;
  [[nodiscard]] double real(std::string_view section, std::string_view key) const;
  [[nodiscard]] std::string text(std::string_view section, std::string_view key) const;
  [[nodiscard]] std::vector<std::string> texts(std::string_view section, std::string_view key) const;
  [[nodiscard]] std::vector<double> reals(std::string_view section, std::string_view key) const;
  // Any value of an open section or of type tables or table.
  [[nodiscard]] const Json& value(std::string_view section, std::string_view key) const;
  // All values of a section as an object, in the order of declaration, then of the file.
  [[nodiscard]] Json section(std::string_view name) const;

  // Sets a value as the run resolved it (schedule_steps, digests); null takes it away. An unknown key or a value the file could not have
  // held is a bug and aborts. `given` stays as it was.
  void set(std::string_view section, std::string_view key, Json value);
  // Where a value came from, to open later errors: "config.toml:7: [data] batch", "--set data.batch", "[data] batch (default)", "[data]
  // batch (resolved)"; "[data] batch" if it has none.
  [[nodiscard]] std::string origin(std::string_view section, std::string_view key) const;

  // The whole as TOML, every key with its value, as the run directory's config.toml: parsing it gives the same values, to the bit.
  [[nodiscard]] std::string toml() const;
  // Keys in which the two differ and that may not change on resume: "section.key: 3 there, 4 here".
  [[nodiscard]] std::vector<std::string> differences(const Config& earlier) const;

 private:
  struct Value {
    Json json;
    bool given = false;
    std::string origin;
  };
  [[nodiscard]] const Value* find(std::string_view section, std::string_view key) const;
  [[nodiscard]] const Value& known(std::string_view section, std::string_view key) const;
  [[nodiscard]] Result<void> lay(std::string_view section, std::string_view key, Json value, std::string origin, bool given);

  std::vector<ConfigKey> keys_;
  std::vector<OpenSection> open_sections_;
  std::map<std::pair<std::string, std::string>, Value> values_;
  std::vector<std::pair<std::string, std::string>> order_;  // every declared key, then those of open sections as they came
};

// docs/config.md's tables, generated from the declarations.
[[nodiscard]] std::string config_reference(std::span<const ConfigKey> keys, std::span<const OpenSection> open_sections);

// A JSON value (no null in it) as TOML writes it in one line; texts in quotes, floats so that they read back to the same double.
[[nodiscard]] std::string toml_value(const Json& value);

// The known name nearest to `name` (edit distance, exchanged neighbours counting as one), or empty if none is near. Used by every "did you
// mean".
[[nodiscard]] std::string nearest_name(std::string_view name, std::span<const std::string> known);

}  // namespace godwit
