#include "text/pre_tokenizer.h"

#include "text/fields.h"

namespace godwit::text {
namespace {

// GPT-2's, which ByteLevel brings along (use_regex).
constexpr std::string_view gpt2_regex = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::size_t steps_max = 64;

Result<Regex> split_regex(const Json& step, std::string_view name) {
  TRY(only_fields(step, {"type", "pattern", "behavior", "invert"}, name));
  TRY_ASSIGN(const std::string behavior, string_field(step, "behavior", name));
  if (behavior != "Isolated") return input_error("{}: behavior {} is not supported; Isolated is", name, behavior);
  TRY_ASSIGN(const bool invert, bool_field(step, "invert", false, name));
  if (invert) return input_error("{}: invert is true; only false is supported", name);
  const Json* pattern = step.find("pattern");
  if (pattern == nullptr || !pattern->is_object() || pattern->size() != 1)
    return input_error("{}: pattern must be {{\"Regex\": …}} or {{\"String\": …}}", name);
  const auto& [kind, value] = pattern->items().front();
  if (!value.is_string() || (kind != "Regex" && kind != "String")) {
    return input_error("{}: pattern must be {{\"Regex\": …}} or {{\"String\": …}}, not {}", name, kind);
  }
  const std::string& text = value.string();
  if (kind == "Regex") return Regex::compile(text, name);
  if (text.empty()) return input_error("{}: an empty split text", name);
  return Regex::literal(text, name);
}

}  // namespace

Result<PreTokenizer> PreTokenizer::from_json(const Json& json, std::string_view name) {
  if (!json.is_object()) return input_error("{}: there is none; byte-level BPE needs one that ends in ByteLevel", name);
  std::vector<const Json*> steps{&json};
  TRY_ASSIGN(const std::string outer, string_field(json, "type", name));
  if (outer == "Sequence") {
    TRY(only_fields(json, {"type", "pretokenizers"}, name));
    const Json* list = json.find("pretokenizers");
    if (list == nullptr || !list->is_array()) return input_error("{}: pretokenizers is not a list", name);
    if (list->size() > steps_max) return input_error("{}: {} steps; at most {} are read", name, list->size(), steps_max);
    steps.clear();
    for (const Json& step : *list) steps.push_back(&step);
  }
  PreTokenizer result;
  bool byte_level = false;
  for (std::size_t index = 0; index < steps.size(); ++index) {
    const Json& step = *steps[index];
    const std::string place = fmt::format("{} step {}", name, index + 1);
    if (!step.is_object()) return input_error("{}: not an object", place);
    TRY_ASSIGN(const std::string type, string_field(step, "type", place));
    if (byte_level) return input_error("{}: {} after ByteLevel; ByteLevel must be the last step", place, type);
    if (type == "Split") {
      TRY_ASSIGN(Regex regex, split_regex(step, place));
      result.regexes_.push_back(std::move(regex));
    } else if (type == "Digits") {
      TRY(only_fields(step, {"type", "individual_digits"}, place));
      TRY_ASSIGN(const bool individual, bool_field(step, "individual_digits", false, place));
      TRY_ASSIGN(Regex regex, Regex::compile(individual ? "\\p{N}" : "\\p{N}+", place));
      result.regexes_.push_back(std::move(regex));
    } else if (type == "ByteLevel") {
      TRY(only_fields(step, {"type", "add_prefix_space", "trim_offsets", "use_regex"}, place));
      byte_level = true;
      TRY_ASSIGN(result.add_prefix_space_, bool_field(step, "add_prefix_space", true, place));
      result.prefix_level_ = result.regexes_.size();
      TRY_ASSIGN(const bool use_regex, bool_field(step, "use_regex", true, place));
      if (use_regex) {
        TRY_ASSIGN(Regex regex, Regex::compile(gpt2_regex, place));
        result.regexes_.push_back(std::move(regex));
      }
    } else {
      return input_error("{}: {} is not supported; Split, Digits and ByteLevel are", place, type);
    }
  }
  if (!byte_level) return input_error("{}: it does not end in ByteLevel, so this is not byte-level BPE", name);
  return result;
}

std::size_t PreTokenizer::character_bytes(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

Error PreTokenizer::limit_error(const Regex& regex, std::size_t bytes) {
  return input_error("the tokenizer's regex {} gave up on a text of {} bytes (too much backtracking); split the text", regex.pattern(),
                     bytes);
}

}  // namespace godwit::text
