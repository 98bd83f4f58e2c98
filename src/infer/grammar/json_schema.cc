#include "infer/grammar/json_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "infer/grammar/characters_of_json.h"
#include "infer/grammar/number_range.h"
#include "infer/grammar/pattern.h"
#include "infer/grammar/schema_merge.h"

namespace godwit::infer {
namespace {

using StateId = Rules::StateId;
using RuleId = Rules::RuleId;

constexpr std::uint64_t count_max = 50'000;
constexpr unsigned indentation_max = 40;

// Nothing, or a new line and its indentation, or a blank; the rule itself is not empty.
void add_space(Rules& rules, RuleId space) {
  const StateId end = rules.state();
  rules.end(end);
  rules.on(rules.at(space).start, ' ', ' ', end);
  StateId at = rules.state();
  rules.on(rules.at(space).start, '\n', '\n', at);
  rules.skip(at, end);
  for (unsigned i = 0; i < indentation_max; ++i) {
    const StateId next = rules.state();
    rules.on(at, ' ', ' ', next);
    rules.skip(next, end);
    at = next;
  }
}

// As JSON has them: all escapes, and no half of a surrogate pair.
void any_character(Rules& rules, StateId from, StateId to) {
  for (const auto& [low, high] : {std::pair(0x20u, 0x21u), std::pair(0x23u, 0x5Bu), std::pair(0x5Du, CodePoints::last)}) {
    utf8_ranges(low, high, [&](std::span<const ByteRange> bytes) {
      StateId at = from;
      for (std::size_t i = 0; i < bytes.size(); ++i) {
        const StateId next = i + 1 == bytes.size() ? to : rules.state();
        rules.on(at, bytes[i].low, bytes[i].high, next);
        at = next;
      }
    });
  }
  const auto then = [&](StateId at, std::string_view bytes) {
    const StateId next = rules.state();
    for (const char byte : bytes) rules.on(at, static_cast<unsigned char>(byte), static_cast<unsigned char>(byte), next);
    return next;
  };
  const auto hex_digits = [&](StateId at, int count) {
    for (int i = 0; i < count; ++i) at = then(at, "0123456789abcdefABCDEF");
    return at;
  };
  const StateId escape = then(from, "\\");
  rules.skip(then(escape, "\"\\/bfnrt"), to);
  const StateId u = then(escape, "u");
  rules.skip(hex_digits(then(u, "0123456789abcefABCEF"), 3), to);
  const StateId after_d = then(u, "dD");
  rules.skip(hex_digits(then(after_d, "01234567"), 2), to);
  const StateId high_half = hex_digits(then(after_d, "89abAB"), 2);
  rules.skip(hex_digits(then(then(then(then(high_half, "\\"), "u"), "dD"), "cdefCDEF"), 2), to);
}

std::string between_quotes(const std::string& text) {
  const std::string json = write_json(text);
  return json.substr(1, json.size() - 2);
}

class SchemaCompiler {
 public:
  SchemaCompiler(const Json& schema, std::string_view name, const CommonRules& common, Rules& rules, Work& work)
      : schema_(schema), merger_(schema, name, work), rules_(rules), common_(common), work_(work) {}

  Result<RuleId> run() {
    const RuleId root = rule_for(schema_, "");
    while (!waiting_.empty() && !rules_.full()) {
      const Waiting next = std::move(waiting_.front());
      waiting_.pop_front();
      TRY(fill(next));
    }
    return root;
  }

 private:
  struct Waiting {
    RuleId rule;
    Json schema;
    std::string place;
  };

  // Its rule, which is filled later, so that schemas however deep need no deep stack. Equal schemas share a rule: so merged ones that
  // contain themselves come to an end.
  RuleId rule_for(const Json& schema, const std::string& place) {
    if (schema == Json(true) || (schema.is_object() && schema.empty())) return common_.value;
    const auto [known, added] = known_.emplace(write_json(schema), 0);
    if (added) {
      known->second = rules_.rule();
      waiting_.push_back({known->second, schema, place});
    }
    return known->second;
  }

  Result<void> fill(const Waiting& waiting) {
    const StateId start = rules_.at(waiting.rule).start, end = rules_.state();
    rules_.end(end);
    if (SchemaMerger::is_reference(waiting.schema)) {
      TRY_ASSIGN(const Json* target, merger_.target(waiting.schema["$ref"], waiting.place));
      rules_.call(start, rule_for(*target, waiting.schema["$ref"].string().substr(1)), end);
      return {};
    }
    TRY_ASSIGN(const Json schema, merger_.normal(waiting.schema, waiting.place));
    if (schema == Json(false)) return {};
    if (schema == Json(true) || schema.empty()) {
      rules_.call(start, common_.value, end);
      return {};
    }
    if (schema.contains("anyOf")) return any_of(schema, waiting.place, start, end);
    if (schema.contains("enum")) return literals(schema, waiting.place, start, end);
    for (const std::string& type : types(schema)) TRY(of_type(type, schema, waiting.place, start, end));
    return {};
  }

  Result<void> any_of(const Json& schema, const std::string& place, StateId start, StateId end) {
    Json rest = schema;
    rest.erase("anyOf");
    const Json& branches = schema["anyOf"];
    if (branches.empty()) return merger_.error(place, "anyOf", "is empty, so nothing can fulfil it");
    for (std::size_t i = 0; i < branches.size(); ++i) {
      const std::string branch_place = place_of(place_of(place, "anyOf"), std::to_string(i));
      if (rest.empty()) {
        rules_.call(start, rule_for(branches[i], branch_place), end);
      } else {
        Json merged = Json::object();
        merged.add("allOf", Json::array({rest, branches[i]}));
        rules_.call(start, rule_for(merged, branch_place), end);
      }
    }
    return {};
  }

  // The keywords that speak of each type.
  static const std::map<std::string, std::vector<std::string_view>>& keywords() {
    static const std::map<std::string, std::vector<std::string_view>> table{
        {"object", {"properties", "required", "additionalProperties"}},
        {"array", {"items", "prefixItems", "minItems", "maxItems"}},
        {"string", {"minLength", "maxLength", "pattern", "format"}},
        {"number", {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}}};
    return table;
  }

  static std::vector<std::string> types(const Json& schema) {
    std::set<std::string> found;
    if (const Json* list = schema.find("type")) {
      for (const Json& type : *list) found.insert(type.string());
      if (found.contains("number")) found.erase("integer");
    } else {
      for (const auto& [type, words] : keywords()) {
        if (std::ranges::any_of(words, [&](std::string_view word) { return schema.contains(word); })) found.insert(type);
      }
    }
    return {found.begin(), found.end()};
  }

  Result<void> literals(const Json& schema, const std::string& place, StateId start, StateId end) {
    const Json& values = schema["enum"];
    if (values.empty()) return merger_.error(place, "enum", "leaves no value");
    for (const Json& value : values) {
      const std::string type(schema_type(value));
      if (const Json* allowed = schema.find("type")) {
        const bool fits = std::ranges::any_of(
            *allowed, [&](const Json& name) { return name.string() == type || (type == "integer" && name.string() == "number"); });
        if (!fits) continue;
      }
      const auto words = keywords().find(type == "integer" ? "number" : type);
      if (words != keywords().end()) {
        for (const std::string_view word : words->second) {
          if (schema.contains(word)) return merger_.error(place, word, "is not supported beside enum or const");
        }
      }
      rules_.branch(start, write_json(value), end);
    }
    return {};
  }

  Result<void> of_type(const std::string& type, const Json& schema, const std::string& place, StateId start, StateId end) {
    if (type == "null") {
      rules_.branch(start, "null", end);
    } else if (type == "boolean") {
      rules_.branch(start, "true", end);
      rules_.branch(start, "false", end);
    } else if (type == "string") {
      return string(schema, place, start, end);
    } else if (type == "array" || type == "object") {
      const RuleId brackets = rules_.rule(true);
      rules_.call(start, brackets, end);
      return type == "array" ? array(schema, place, brackets) : object(schema, place, brackets);
    } else {
      return number(schema, place, type == "integer", start, end);
    }
    return {};
  }

  Result<void> number(const Json& schema, const std::string& place, bool integer, StateId start, StateId end) {
    NumberRange range;
    for (const std::string_view word : keywords().at("number")) {
      const Json* value = schema.find(word);
      if (value == nullptr) continue;
      if (!value->is_number()) return merger_.error(place, word, "is not a number");
      const bool exclusive = word.starts_with("exclusive");
      const bool is_min = word == "minimum" || word == "exclusiveMinimum";
      std::optional<Bound>& bound = is_min ? range.min : range.max;
      const double given = value->get<double>(), other = bound ? bound->value.get<double>() : 0;
      // The exclusive ones come later in the list and win where both are equal.
      if (!bound || given == other || (given > other) == is_min) bound = Bound{*value, exclusive};
      const auto alone = number_spellings(is_min ? NumberRange{bound, {}} : NumberRange{{}, bound}, integer, work_);
      if (!alone.ok()) return merger_.error(place, word, alone.error().message);
    }
    TRY_ASSIGN(const Dfa dfa, number_spellings(range, integer, work_));
    rules_.automaton(start, dfa, end);
    return {};
  }

  Result<std::optional<std::uint64_t>> count(const Json& schema, const std::string& place, std::string_view word) const {
    const Json* value = schema.find(word);
    if (value == nullptr) return std::optional<std::uint64_t>();
    if (!value->is_number() || schema_type(*value) != "integer" || value->get<double>() < 0) {
      return merger_.error(place, word, fmt::format("{} is no count", write_json(*value)));
    }
    if (value->get<double>() > count_max) return merger_.error(place, word, fmt::format("{} is above {}", write_json(*value), count_max));
    return std::optional<std::uint64_t>(static_cast<std::uint64_t>(value->get<double>()));
  }

  Result<void> string(const Json& schema, const std::string& place, StateId start, StateId end) {
    TRY_ASSIGN(const std::optional<std::uint64_t> min, count(schema, place, "minLength"));
    TRY_ASSIGN(const std::optional<std::uint64_t> max, count(schema, place, "maxLength"));
    std::optional<Dfa> dfa;
    for (const std::string_view word : {"pattern", "format"}) {
      const Json* value = schema.find(word);
      if (value == nullptr) continue;
      if (!value->is_string()) return merger_.error(place, word, "is not a string");
      Result<Dfa> strings = word == "pattern" ? pattern_strings(value->string(), work_) : format_strings(value->string(), work_);
      if (!strings.ok()) return merger_.error(place, word, strings.error().message);
      dfa = dfa ? intersect(*dfa, *strings, work_) : *std::move(strings);
      if (!dfa) return merger_.error(place, word, "the automaton of pattern and format would be too large");
    }
    if (dfa && (min || max)) {
      const std::optional<Dfa> lengths = strings_of_length(min.value_or(0), max, work_);
      if (lengths) dfa = intersect(*dfa, *lengths, work_);
      if (!lengths || !dfa) return merger_.error(place, max ? "maxLength" : "minLength", "beside pattern or format it would be too large");
    }
    if (!dfa && !min && !max) {
      rules_.call(start, common_.string, end);
      return {};
    }
    const StateId inside = rules_.state(), close = rules_.state();
    rules_.on(start, '"', '"', inside);
    rules_.on(close, '"', '"', end);
    if (dfa) {
      rules_.automaton(inside, *dfa, close);
    } else {
      characters(inside, min.value_or(0), max, close);
    }
    return {};
  }

  void characters(StateId from, std::uint64_t min, std::optional<std::uint64_t> max, StateId to) {
    for (std::uint64_t length = 0; !rules_.full(); ++length) {
      if (length >= min) rules_.skip(from, to);
      if (length == max.value_or(min)) break;
      const StateId next = rules_.state();
      rules_.call(from, common_.character, next);
      from = next;
    }
    if (!max) rules_.call(from, common_.character, from);
  }

  void space(StateId from, StateId to) {
    rules_.skip(from, to);
    rules_.call(from, common_.space, to);
  }

  StateId bracket(StateId from, char c) {
    const StateId next = rules_.state();
    rules_.on(from, static_cast<Symbol>(c), static_cast<Symbol>(c), next);
    return next;
  }

  // Between them: from the state `first` to the state `last`; what is empty goes from `first` to `end` with the closing one.
  struct Brackets {
    StateId first, last, end;
  };
  Brackets brackets(RuleId rule, char opening, char closing) {
    const Brackets states{rules_.state(), rules_.state(), rules_.state()};
    space(bracket(rules_.at(rule).start, opening), states.first);
    const StateId close = rules_.state();
    space(states.last, close);
    rules_.on(close, static_cast<Symbol>(closing), static_cast<Symbol>(closing), states.end);
    rules_.end(states.end);
    return states;
  }

  Result<void> array(const Json& schema, const std::string& place, RuleId rule) {
    TRY_ASSIGN(const std::optional<std::uint64_t> min_items, count(schema, place, "minItems"));
    TRY_ASSIGN(const std::optional<std::uint64_t> max, count(schema, place, "maxItems"));
    const std::uint64_t min = min_items.value_or(0);
    const Json prefix = schema.value("prefixItems", Json::array());
    const Json* rest = schema.find("items");
    if (rest != nullptr && rest->is_array()) return merger_.error(place, "items", "is a list; that is prefixItems since 2020-12");
    const RuleId rest_rule = rest == nullptr ? common_.value : rule_for(*rest, place_of(place, "items"));
    const auto item = [&](std::uint64_t index) {
      if (index >= prefix.size()) return rest_rule;
      return rule_for(prefix[index], place_of(place_of(place, "prefixItems"), std::to_string(index)));
    };
    const auto [first, last, end] = brackets(rule, '[', ']');
    if (min == 0) rules_.on(first, ']', ']', end);
    StateId before = first;
    const std::uint64_t counted = max.value_or(std::max<std::uint64_t>({min, prefix.size(), 1}));
    for (std::uint64_t index = 0; index < counted && !rules_.full(); ++index) {
      const StateId after = rules_.state();
      rules_.call(before, item(index), after);
      if (index + 1 >= min) rules_.skip(after, last);
      const bool again = !max && index + 1 == counted;
      before = rules_.state();
      space(bracket(after, ','), before);
      if (again) rules_.call(before, item(index + 1), after);
    }
    return {};
  }

  struct Property {
    std::string name;
    RuleId value;
    bool required;
  };

  Result<std::vector<Property>> properties(const Json& schema, const std::string& place, const Json& others) {
    std::vector<Property> list;
    std::set<std::string> required;
    const Json names = schema.value("required", Json::array());
    for (const Json& name : names) {
      if (!name.is_string()) return merger_.error(place, "required", "holds something that is not a string");
      required.insert(name.string());
    }
    const Json known = schema.value("properties", Json::object());
    for (const auto& [name, value] : known.items()) {
      const std::string value_place = place_of(place_of(place, "properties"), name);
      list.push_back({name, rule_for(value, value_place), required.erase(name) > 0});
    }
    for (const Json& name : names) {
      if (required.erase(name.string()) == 0) continue;
      list.push_back({name.string(), rule_for(others, place_of(place, "additionalProperties")), true});
    }
    return list;
  }

  // What spells a name that is none of the list, without its quotes.
  Result<void> other_name(const std::vector<Property>& list, const std::string& place, StateId from, StateId to) {
    if (list.empty()) {
      rules_.call(from, common_.string, to);
      return {};
    }
    Nfa names;
    for (const Property& property : list) names.literal(Nfa::start(), between_quotes(property.name), Nfa::end());
    const std::optional<Dfa> known = determinize(names, work_), all = strings_of_length(0, {}, work_);
    const std::optional<Dfa> others = known && all ? subtract(*all, *known, work_) : std::nullopt;
    if (!others) return merger_.error(place, "properties", "their names together are too long for additionalProperties; set it to false");
    const StateId inside = rules_.state(), close = rules_.state();
    rules_.on(from, '"', '"', inside);
    rules_.automaton(inside, *others, close);
    rules_.on(close, '"', '"', to);
    return {};
  }

  // must[i]: a member comes, and none before the i-th; after[i]: a comma or the end comes.
  Result<void> object(const Json& schema, const std::string& place, RuleId rule) {
    const Json others = schema.value("additionalProperties", Json(true));
    TRY_ASSIGN(const std::vector<Property> list, properties(schema, place, others));
    const auto [first, last, end] = brackets(rule, '{', '}');
    std::size_t needed = 0;  // the members up to here must have come before the end may
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].required) needed = i + 1;
    }
    if (needed == 0) rules_.on(first, '}', '}', end);
    const auto member = [&](StateId name_end, RuleId value, StateId after) {
      const StateId colon = bracket(name_end, ':'), before_value = rules_.state();
      rules_.skip(colon, before_value);
      rules_.on(colon, ' ', ' ', before_value);
      rules_.call(before_value, value, after);
    };
    StateId must = rules_.state();
    rules_.skip(first, must);
    for (std::size_t i = 0; i <= list.size() && !rules_.full(); ++i) {
      const bool more = i < list.size();
      const StateId after = rules_.state(), next = rules_.state(), name_end = rules_.state();
      if (more) {
        rules_.literal(must, write_json(list[i].name), name_end);
        member(name_end, list[i].value, after);
        if (!list[i].required) rules_.skip(must, next);
      } else if (others != Json(false)) {
        TRY(other_name(list, place, must, name_end));
        member(name_end, rule_for(others, place_of(place, "additionalProperties")), after);
      }
      if (i + 1 >= needed) rules_.skip(after, last);
      const StateId comma = bracket(after, ',');
      space(comma, more ? next : must);
      must = next;
    }
    return {};
  }

  const Json& schema_;
  SchemaMerger merger_;
  Rules& rules_;
  const CommonRules& common_;
  Work& work_;
  std::map<std::string, RuleId> known_;
  std::deque<Waiting> waiting_;
};

}  // namespace

CommonRules add_common_rules(Rules& rules, Work& work) {
  const CommonRules common{rules.rule(), rules.rule(), rules.rule(), rules.rule()};
  add_space(rules, common.space);
  const StateId one = rules.state();
  rules.end(one);
  any_character(rules, rules.at(common.character).start, one);
  const StateId inside = rules.state(), end = rules.state();
  rules.end(end);
  rules.on(rules.at(common.string).start, '"', '"', inside);
  any_character(rules, inside, inside);
  rules.on(inside, '"', '"', end);
  Json any = Json::object();
  any.add("type", Json::array({"null", "boolean", "number", "string", "array", "object"}));
  const RuleId value = compile_schema(any, "any value", common, rules, work).value();
  const StateId value_end = rules.state();
  rules.end(value_end);
  rules.call(rules.at(common.value).start, value, value_end);
  return common;
}

Result<RuleId> compile_schema(const Json& schema, std::string_view name, const CommonRules& common, Rules& rules, Work& work) {
  return SchemaCompiler(schema, name, common, rules, work).run();
}

}  // namespace godwit::infer
