#include "infer/grammar.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "infer/grammar/json_schema.h"
#include "infer/grammar/token_grammar.h"
#include "text/special_tokens.h"

namespace godwit::infer {
namespace {

constexpr int parallel_calls_max = 16;

Result<Json> read_schema(std::string_view schema, std::string_view name) {
  return parse_json(schema, name, {.bytes_max = schema_bytes_max, .depth_max = Rules::depth_max});
}

// Calls are between control tokens: one id where the vocabulary has it, else the text it is spelled as.
class CallRules {
 public:
  CallRules(text::ChatFormat format, const text::Tokenizer& tokenizer, Rules& rules)
      : v3_1_(format == text::ChatFormat::v3_1), tokenizer_(tokenizer), rules_(rules), common_(add_common_rules(rules, work_)) {}

  Result<Rules::RuleId> add(std::span<const text::Tool> tools, bool parallel) {
    const Rules::RuleId root = rules_.rule();
    TRY_ASSIGN(const Rules::RuleId call, one_call(tools));
    const Rules::StateId last = rules_.state();
    Rules::StateId at = rules_.state();
    control(rules_.at(root).start, text::tool_calls_begin_token, at);
    for (int i = 0; i < (parallel ? parallel_calls_max : 1); ++i) {
      const Rules::StateId after = rules_.state();
      rules_.call(at, call, after);
      rules_.skip(after, last);
      at = rules_.state();
      rules_.literal(after, v3_1_ ? "" : "\n", at);
    }
    const Rules::StateId end = rules_.state();
    rules_.end(end);
    control(last, text::tool_calls_end_token, end);
    return root;
  }
  [[nodiscard]] const std::vector<std::int32_t>& controls() const { return controls_; }

 private:
  void control(Rules::StateId from, std::string_view token, Rules::StateId to) {
    const std::optional<std::int32_t> id = tokenizer_.token_id(token);
    if (!id) return rules_.literal(from, token, to);
    const auto place = std::ranges::find(controls_, *id);
    const auto symbol = static_cast<Symbol>(first_control + (place - controls_.begin()));
    if (place == controls_.end()) controls_.push_back(*id);
    rules_.on(from, symbol, symbol, to);
  }

  Result<Rules::RuleId> one_call(std::span<const text::Tool> tools) {
    const Rules::RuleId rule = rules_.rule();
    const Rules::StateId name = rules_.state(), close = rules_.state(), end = rules_.state();
    rules_.end(end);
    Rules::StateId type = rules_.state();
    control(rules_.at(rule).start, text::tool_call_begin_token, type);
    if (v3_1_) {
      rules_.skip(type, name);
    } else {
      const Rules::StateId after = rules_.state();
      rules_.literal(type, "function", after);
      control(after, text::tool_separator_token, name);
    }
    for (const text::Tool& tool : tools) {
      const std::string where = fmt::format("parameters of {}", tool.name);
      TRY_ASSIGN(const Json schema,
                 read_schema(tool.parameters.empty() ? R"({"type": "object", "additionalProperties": false})" : tool.parameters, where));
      TRY_ASSIGN(const Rules::RuleId arguments, compile_schema(schema, where, common_, rules_, work_));
      const Rules::StateId named = rules_.state(), before = rules_.state();
      rules_.branch(name, tool.name, named);
      if (v3_1_) {
        control(named, text::tool_separator_token, before);
      } else {
        rules_.literal(named, "\n```json\n", before);
      }
      rules_.call(before, arguments, close);
    }
    const Rules::StateId fenced = rules_.state();
    rules_.literal(close, v3_1_ ? "" : "\n```", fenced);
    control(fenced, text::tool_call_end_token, end);
    return rule;
  }

  bool v3_1_;
  const text::Tokenizer& tokenizer_;
  Rules& rules_;
  Work work_;
  CommonRules common_;
  std::vector<std::int32_t> controls_;
};

}  // namespace

GrammarVocabulary::GrammarVocabulary(const text::Tokenizer& tokenizer) : trie_(std::make_shared<TokenTrie>(tokenizer)) {}

Result<std::shared_ptr<const Grammar>> Grammar::json(std::string_view schema, const GrammarVocabulary& vocabulary) {
  TRY_ASSIGN(const Json json, read_schema(schema.empty() ? R"({"type": "object"})" : schema, "schema"));
  Rules rules;
  Work work;
  const CommonRules common = add_common_rules(rules, work);
  TRY_ASSIGN(const Rules::RuleId value, compile_schema(json, "schema", common, rules, work));
  // Models begin with a blank or with the new lines they learned to write after </think>.
  const Rules::RuleId root = rules.rule();
  const Rules::StateId one = rules.state(), begin = rules.state(), end = rules.state();
  rules.end(end);
  rules.skip(rules.at(root).start, begin);
  rules.on(rules.at(root).start, ' ', ' ', begin);
  rules.on(rules.at(root).start, '\n', '\n', one);
  rules.skip(one, begin);
  rules.on(one, '\n', '\n', begin);
  rules.call(begin, value, end);
  return token_grammar(std::move(rules), root, {}, vocabulary.trie_);
}

Result<std::shared_ptr<const Grammar>> Grammar::tool_calls(text::ChatFormat format, std::span<const text::Tool> tools, bool parallel,
                                                           const GrammarVocabulary& vocabulary) {
  if (tools.empty()) return input_error("a tool must be called, and there is none");
  std::set<std::string_view> names;
  for (const text::Tool& tool : tools) {
    if (tool.name.empty() || tool.name.find_first_of("<\n\r") != std::string::npos) {
      return input_error("'{}' is no name for a tool: it must not be empty nor hold < or a line's end", tool.name);
    }
    if (!names.insert(tool.name).second) return input_error("two tools have the name {}", tool.name);
  }
  Rules rules;
  CallRules calls(format, vocabulary.trie_->tokenizer(), rules);
  TRY_ASSIGN(const Rules::RuleId root, calls.add(tools, parallel));
  return token_grammar(std::move(rules), root, calls.controls(), vocabulary.trie_);
}

}  // namespace godwit::infer
