// JSON Schema → rules.
//
// Held exactly: type (also lists), enum, const, properties, required, additionalProperties, items, prefixItems, minItems, maxItems,
// minLength, maxLength, pattern, format (pattern.h), minimum, maximum, exclusiveMinimum, exclusiveMaximum (number_range.h), anyOf, oneOf
// whose branches exclude one another, allOf, $ref within the schema, nullable. Annotations are ignored. Any other keyword is an input
// error.
//
// An answer is spelled in one of the ways JSON has:
//   - members come in the order of `properties`, then the others that are required, then others; a name spelled by the schema, an enum's
//     value and a string with pattern or format have no escapes but the necessary;
//   - between elements stands nothing, a blank, or a new line and its indentation: a model cannot dwell in white space;
//   - numbers have a bounded number of digits (number_range.h), brackets a bounded depth (rules.h).
// Keywords for one type and no `type` mean that type. Names that the schema does not know may come twice.
#pragma once

#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "infer/grammar/rules.h"

namespace godwit::infer {

inline constexpr std::size_t schema_bytes_max = 64 << 10;

// What all schemas of one grammar share.
struct CommonRules {
  Rules::RuleId space, character, string, value;
};
[[nodiscard]] CommonRules add_common_rules(Rules& rules, Work& work);

// Adds rules to `rules`; the one returned is a value that fulfils `schema`. `name` opens the error messages.
[[nodiscard]] Result<Rules::RuleId> compile_schema(const Json& schema, std::string_view name, const CommonRules& common, Rules& rules,
                                                   Work& work);

}  // namespace godwit::infer
