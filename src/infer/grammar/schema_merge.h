// JSON Schema's ways to say «and»: $ref beside other keywords, allOf, alternatives beside other keywords, brought into one schema.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "infer/grammar/dfa.h"

namespace godwit::infer {

// Places are JSON pointers; what is merged keeps the place of the schema that asked for it. Work is bounded: an input error tells when
// references, alternatives and allOf multiply too far.
class SchemaMerger {
 public:
  // `name` opens the error messages; `root` is where $ref looks.
  SchemaMerger(const Json& root, std::string_view name, Work& work) : root_(root), name_(name), work_(work) {}

  // An input error about a keyword of the schema at `place`.
  [[nodiscard]] Error error(std::string_view place, std::string_view keyword, std::string_view what) const;

  // What $ref names: "#" or "#/path" alone.
  [[nodiscard]] Result<const Json*> target(const Json& ref, std::string_view place) const;
  // The schema says $ref and nothing else that matters.
  [[nodiscard]] static bool is_reference(const Json& schema);

  // The same as `schema` on its first level: true, false, or an object without annotations, $ref, allOf, oneOf, const and nullable, whose
  // `type`, if any, is a list. Unknown keywords are input errors. oneOf becomes anyOf where its branches exclude one another for certain.
  [[nodiscard]] Result<Json> normal(const Json& schema, const std::string& place);

 private:
  [[nodiscard]] Result<Json> normal_at(const Json& schema, const std::string& place, std::size_t depth);
  // Both are normal; so is the result.
  [[nodiscard]] Result<Json> both(const Json& a, const Json& b, const std::string& place);
  [[nodiscard]] Result<void> merge_object(const Json& a, const Json& b, Json& merged) const;
  [[nodiscard]] Result<void> merge_array(const Json& a, const Json& b, Json& merged, const std::string& place) const;
  [[nodiscard]] Result<void> check_one_of(const Json& branches, const std::string& place, std::size_t depth);
  [[nodiscard]] Result<bool> exclude_each_other(const Json& a, const Json& b, const std::string& place, std::size_t depth);
  [[nodiscard]] Result<void> charge(std::size_t steps, const std::string& place);

  const Json& root_;
  std::string name_;
  Work& work_;
};

[[nodiscard]] std::string place_of(std::string_view parent, std::string_view key);

// The name JSON Schema gives a value's type; "integer" for whole numbers.
[[nodiscard]] std::string_view schema_type(const Json& value);

}  // namespace godwit::infer
