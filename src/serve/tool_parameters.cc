#include "serve/tool_parameters.h"

#include <fmt/format.h>

#include <algorithm>

namespace godwit::serve {

namespace {

using Fault = std::optional<ApiError>;

constexpr std::size_t name_bytes_max = 64;

// OpenAI's rule; others could not be told from the format around them.
bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= name_bytes_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string read_name(Fields& function) {
  const std::string name = function.text("name").value_or("");
  if (!is_name(name)) function.refuse("name", fmt::format("must be 1 to {} letters, digits, _ or -, not {}", name_bytes_max, shown(name)));
  return name;
}

void expect_function(Fields& fields) {
  const auto type = fields.text("type");
  if (type && *type != "function") fields.refuse("type", fmt::format("must be \"function\", not {}", shown(*type)));
}

text::Tool read_tool(const Json& json, const std::string& place, Fault& fault) {
  Fields fields(json, place + ".", fault);
  expect_function(fields);
  text::Tool tool;
  const Json* function = fields.any("function");
  if (function == nullptr) {
    fields.refuse("function", "is missing");
    return tool;
  }
  Fields inner(*function, place + ".function.", fault);
  tool.name = read_name(inner);
  tool.description = inner.text("description").value_or("");
  (void)inner.boolean("strict");  // calls that must be made always are
  if (const Json* parameters = inner.any("parameters")) {
    if (!parameters->is_object()) inner.refuse("parameters", "must be a JSON Schema, an object");
    tool.parameters = write_json(*parameters);
  }
  inner.finish();
  fields.finish();
  return tool;
}

std::vector<text::Tool> read_tools(Fields& fields, Fault& fault) {
  const Json* value = fields.any("tools");
  std::vector<text::Tool> tools;
  if (value == nullptr) return tools;
  if (!value->is_array() || value->size() > tools_max) {
    fields.refuse("tools", fmt::format("must be an array of at most {} tools", tools_max));
    return tools;
  }
  for (std::size_t i = 0; i < value->size() && !fault; ++i) {
    text::Tool tool = read_tool((*value)[i], fmt::format("tools[{}]", i), fault);
    if (std::ranges::find(tools, tool.name, &text::Tool::name) != tools.end()) {
      fields.refuse("tools", fmt::format("has two of the name {}", tool.name));
    }
    tools.push_back(std::move(tool));
  }
  return tools;
}

// The name of the function that must be called.
std::string read_named_choice(const Json& value, Fault& fault) {
  Fields fields(value, "tool_choice.", fault);
  expect_function(fields);
  const Json* function = fields.any("function");
  if (function == nullptr) {
    fields.refuse("function", "is missing");
    return "";
  }
  Fields inner(*function, "tool_choice.function.", fault);
  std::string name = read_name(inner);
  inner.finish();
  fields.finish();
  return name;
}

}  // namespace

ToolUse read_tool_use(Fields& fields, Fault& fault) {
  ToolUse use;
  use.tools = read_tools(fields, fault);
  use.choice = use.tools.empty() ? ToolUse::Choice::none : ToolUse::Choice::automatic;
  const auto parallel = fields.boolean("parallel_tool_calls");
  const Json* choice = fields.any("tool_choice");
  const bool wanted_none = choice != nullptr && choice->is_string() && choice->string() == "none";
  if (use.tools.empty()) {
    if (choice != nullptr && !wanted_none) fields.refuse("tool_choice", "needs tools");
    if (parallel) fields.refuse("parallel_tool_calls", "needs tools");
    return use;
  }
  use.parallel = parallel.value_or(true);
  if (choice == nullptr) return use;
  if (wanted_none) {
    use.choice = ToolUse::Choice::none;
    use.tools.clear();
  } else if (choice->is_object()) {
    const std::string name = read_named_choice(*choice, fault);
    std::erase_if(use.tools, [&](const text::Tool& tool) { return tool.name != name; });
    if (use.tools.empty()) fields.refuse("tool_choice", fmt::format("names {}, which is none of the tools", shown(name)));
    use.choice = ToolUse::Choice::required;
    use.parallel = false;  // one call, as OpenAI has it
  } else if (choice->is_string() && choice->string() == "required") {
    use.choice = ToolUse::Choice::required;
  } else if (!choice->is_string() || choice->string() != "auto") {
    fields.refuse("tool_choice", fmt::format("must be \"none\", \"auto\", \"required\" or a function, not {}", shown(*choice)));
  }
  return use;
}

std::vector<text::ToolCall> read_tool_calls(Fields& message, Fault& fault) {
  std::vector<text::ToolCall> calls;
  const Json* value = message.any("tool_calls");
  if (value == nullptr) return calls;
  if (!value->is_array() || value->size() > tool_calls_max) {
    message.refuse("tool_calls", fmt::format("must be an array of at most {} calls", tool_calls_max));
    return calls;
  }
  for (std::size_t i = 0; i < value->size() && !fault; ++i) {
    const std::string place = message.full_name(fmt::format("tool_calls[{}]", i));
    Fields fields((*value)[i], place + ".", fault);
    text::ToolCall call;
    call.id = fields.text("id").value_or("");
    (void)fields.integer("index", 0, static_cast<std::int64_t>(tool_calls_max));  // of a call put together from a stream
    expect_function(fields);
    if (const Json* function = fields.any("function")) {
      Fields inner(*function, place + ".function.", fault);
      call.name = read_name(inner);
      call.arguments = inner.text("arguments").value_or("");
      inner.finish();
    } else {
      fields.refuse("function", "is missing");
    }
    fields.finish();
    calls.push_back(std::move(call));
  }
  return calls;
}

}  // namespace godwit::serve
