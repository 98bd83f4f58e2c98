#include "text/chat.h"

#include <fmt/format.h>

#include "base/json.h"
#include "text/special_tokens.h"

namespace godwit::text {
namespace {

// v3_1 cuts at the first </think>, r1 at the last: so do DeepSeek's own templates.
std::size_t thinking_end(ChatFormat format, std::string_view content) {
  return format == ChatFormat::v3_1 ? content.find(think_end_token) : content.rfind(think_end_token);
}

std::string_view without_thinking(ChatFormat format, std::string_view content) {
  const std::size_t end = thinking_end(format, content);
  return end == std::string_view::npos ? content : content.substr(end + think_end_token.size());
}

std::string system_text(ChatFormat format, const std::vector<ChatMessage>& messages) {
  std::string system;
  bool first = true;
  for (const ChatMessage& message : messages) {
    if (message.role != "system") continue;
    if (format == ChatFormat::r1 || first) {
      system = message.content;
    } else {
      system += "\n\n" + message.content;
    }
    first = false;
  }
  return system;
}

// As Python's json.dumps writes it, which is how the templates show JSON: a blank behind each comma and colon.
std::string spaced_json(const Json& json) {
  std::string spaced;
  bool in_string = false, escaped = false;
  for (const char c : write_json(json)) {
    spaced += c;
    if (c == '"' && !escaped) in_string = !in_string;
    escaped = in_string && c == '\\' && !escaped;
    if (!in_string && (c == ',' || c == ':')) spaced += ' ';
  }
  return spaced;
}

Result<Json> parameters_of(const Tool& tool) {
  if (tool.parameters.empty()) return Json{{"type", "object"}, {"properties", Json::object()}};
  return parse_json(tool.parameters, fmt::format("parameters of {}", tool.name));
}

std::string v3_1_example() {
  return fmt::format("{}{}tool_call_name{}tool_call_arguments{}{{additional_tool_calls}}{}", tool_calls_begin_token, tool_call_begin_token,
                     tool_separator_token, tool_call_end_token, tool_calls_end_token);
}

Result<std::string> v3_1_tools(const std::vector<Tool>& tools) {
  std::string text = "## Tools\nYou have access to the following tools:\n";
  for (const Tool& tool : tools) {
    TRY_ASSIGN(const Json parameters, parameters_of(tool));
    text += fmt::format("\n### {}\nDescription: {}\n\nParameters: {}\n", tool.name, tool.description, spaced_json(parameters));
  }
  text += fmt::format(
      "\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n{}\n\nWhere:\n- `tool_call_name` must be an exact match to one of "
      "the "
      "available tools\n- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n- For multiple tool "
      "calls, chain them directly without separators or spaces\n",
      v3_1_example());
  return text;
}

Result<std::string> r1_tools(const std::vector<Tool>& tools) {
  std::string text = fmt::format(
      "You are a helpful assistant with tool calling capabilities. When a tool call is needed, you MUST use the following format to issue "
      "the call:\n{}{}function{}FUNCTION_NAME\n```json\n{{\"param1\": \"value1\", \"param2\": \"value2\"}}\n```{}{}\n\nMake sure the JSON "
      "is "
      "valid.## Tools\n\n### Function\n\nYou have the following functions available:\n\n",
      tool_calls_begin_token, tool_call_begin_token, tool_separator_token, tool_call_end_token, tool_calls_end_token);
  for (const Tool& tool : tools) {
    TRY_ASSIGN(const Json parameters, parameters_of(tool));
    const Json function{{"name", tool.name}, {"description", tool.description}, {"parameters", parameters}};
    text += fmt::format("\n```json\n{}\n```\n", spaced_json(Json{{"type", "function"}, {"function", function}}));
  }
  return text;
}

Result<std::string> tools_text(ChatFormat format, const std::vector<Tool>& tools) {
  if (tools.empty()) return std::string();
  return format == ChatFormat::v3_1 ? v3_1_tools(tools) : r1_tools(tools);
}

std::string calls_text(ChatFormat format, const std::vector<ToolCall>& calls) {
  std::string text(tool_calls_begin_token);
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const auto& [id, name, arguments] = calls[i];
    if (format == ChatFormat::v3_1) {
      text += fmt::format("{}{}{}{}{}", tool_call_begin_token, name, tool_separator_token, arguments, tool_call_end_token);
    } else {
      text += fmt::format("{}{}function{}{}\n```json\n{}\n```{}", i > 0 ? "\n" : "", tool_call_begin_token, tool_separator_token, name,
                          arguments, tool_call_end_token);
    }
  }
  return text + std::string(tool_calls_end_token);
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// That every answer answers something and says something.
Result<void> check_lesson(ChatFormat format, const std::vector<ChatMessage>& messages) {
  bool after_user = false;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content, tool_calls] = messages[i];
    if (!tool_calls.empty()) return input_error("messages[{}] calls tools, which is not taught yet", i);
    if (role == "system") continue;
    if (role != "user" && role != "assistant") {
      return input_error("messages[{}] has the role {}; system, user and assistant are known", i, role);
    }
    if (is_blank(content)) return input_error("messages[{}], of role {}, is empty", i, role);
    if (role == "assistant") {
      if (!after_user) return input_error("messages[{}] is an answer, and no user's message stands before it since the last one", i);
      if (content.starts_with(think_begin_token) && thinking_end(format, content) == std::string::npos) {
        return input_error("messages[{}] begins with {} and has no {}", i, think_begin_token, think_end_token);
      }
      if (is_blank(without_thinking(format, content))) return input_error("messages[{}] has no answer behind its {}", i, think_end_token);
    }
    after_user = role == "user";
  }
  if (after_user) return input_error("the last message is a user's and has no answer to learn; leave it out, or give the answer");
  return {};
}

}  // namespace

Result<std::string> render_chat(ChatFormat format, const std::vector<ChatMessage>& messages, ChatOptions options) {
  if (messages.empty()) return input_error("a chat without messages; give at least one");
  TRY_ASSIGN(const std::string tools, tools_text(format, options.tools));
  std::string prompt = std::string(bos_token) + system_text(format, messages);
  if (!tools.empty() && prompt.size() > bos_token.size()) prompt += "\n\n";
  prompt += tools;
  // What came last, system texts apart.
  enum class After { nothing, user, answer, call, tool } after = After::nothing;
  const bool r1 = format == ChatFormat::r1;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const ChatMessage& message = messages[i];
    if (message.role == "user") {
      if (r1 && after == After::tool) prompt += tool_outputs_end_token;
      prompt += user_token;
      prompt += message.content;
      after = After::user;
    } else if (message.role == "assistant") {
      if (r1) {
        prompt += after == After::tool ? tool_outputs_end_token : assistant_token;
      } else if (after == After::user) {
        prompt += assistant_token;
        prompt += think_end_token;
      }
      prompt += without_thinking(format, message.content);
      if (!message.tool_calls.empty()) prompt += calls_text(format, message.tool_calls);
      prompt += eos_token;
      after = message.tool_calls.empty() ? After::answer : After::call;
    } else if (message.role == "tool") {
      if (after != After::call && after != After::tool) {
        return input_error("messages[{}] is a tool's, and no message that calls tools stands before it", i);
      }
      if (r1) prompt += after == After::call ? tool_outputs_begin_token : "\n";
      prompt += fmt::format("{}{}{}", tool_output_begin_token, message.content, tool_output_end_token);
      after = After::tool;
    } else if (message.role != "system") {
      return input_error("a chat message has the role {}; system, user, assistant and tool are known", message.role);
    }
  }
  if (r1 && after == After::tool) prompt += tool_outputs_end_token;
  if (!options.generation_prompt || after == After::tool) return prompt;
  if (r1) {
    prompt += assistant_token;
    prompt += think_begin_token;
    prompt += '\n';
  } else if (after == After::user) {
    prompt += assistant_token;
    prompt += options.thinking ? think_begin_token : think_end_token;
  }
  return prompt;
}

Result<std::vector<ChatPiece>> render_lesson(ChatFormat format, const std::vector<ChatMessage>& messages) {
  TRY(check_lesson(format, messages));
  std::vector<ChatPiece> pieces;
  const auto control = [&](std::string_view token, bool learned) { pieces.push_back({std::string(token), true, learned}); };
  const auto plain = [&](std::string_view text, bool learned) {
    if (!text.empty()) pieces.push_back({std::string(text), false, learned});
  };
  std::size_t last = messages.size();
  while (last > 0 && messages[last - 1].role != "assistant") --last;
  if (last == 0) return input_error("there is no answer of an assistant in the conversation, so nothing to learn");
  const bool r1 = format == ChatFormat::r1;
  control(bos_token, false);
  plain(system_text(format, messages), false);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content, tool_calls] = messages[i];
    if (role == "user") {
      control(user_token, false);
      plain(content, false);
    } else if (role == "assistant") {
      control(assistant_token, false);
      const std::size_t end = thinking_end(format, content);
      if (i + 1 == last && end != std::string::npos) {
        std::string_view thinking = std::string_view(content).substr(0, end);
        if (thinking.starts_with(think_begin_token)) thinking.remove_prefix(think_begin_token.size());
        control(think_begin_token, false);
        if (r1) {
          plain("\n", false);
          if (thinking.starts_with('\n')) thinking.remove_prefix(1);
        }
        plain(thinking, true);
        control(think_end_token, true);
      } else if (!r1) {
        control(think_end_token, false);
      }
      plain(without_thinking(format, content), true);
      control(eos_token, true);
    }
  }
  return pieces;
}

std::string jinja_template(ChatFormat format) {
  const bool r1 = format == ChatFormat::r1;
  std::string t;
  if (!r1) t += "{%- if thinking is not defined -%}{%- set thinking = enable_thinking is defined and enable_thinking -%}{%- endif -%}";
  t += "{%- set ns = namespace(system='', first=true, after_user=false) -%}";
  t += "{%- for message in messages -%}{%- if message['role'] == 'system' -%}";
  t += r1 ? "{%- set ns.system = message['content'] -%}"
          : "{%- set ns.system = message['content'] if ns.first else ns.system + '\\n\\n' + message['content'] -%}{%- set ns.first = false "
            "-%}";
  t += "{%- endif -%}{%- endfor -%}";
  t += fmt::format("{{{{- '{}' + ns.system -}}}}", bos_token);
  t += "{%- for message in messages -%}";
  t += "{%- if message['role'] == 'user' -%}";
  t += fmt::format("{{{{- '{}' + message['content'] -}}}}{{%- set ns.after_user = true -%}}", user_token);
  t += "{%- elif message['role'] == 'assistant' -%}";
  if (r1) {
    t += fmt::format("{{{{- '{}' + message['content'].split('{}')[-1] + '{}' -}}}}", assistant_token, think_end_token, eos_token);
  } else {
    t += fmt::format("{{%- if ns.after_user -%}}{{{{- '{}{}' -}}}}{{%- endif -%}}", assistant_token, think_end_token);
    t += fmt::format("{{{{- message['content'].split('{}', 1)[-1] + '{}' -}}}}", think_end_token, eos_token);
  }
  t += "{%- set ns.after_user = false -%}";
  t += "{%- elif message['role'] != 'system' -%}{{- raise_exception('roles are system, user and assistant') -}}";
  t += "{%- endif -%}{%- endfor -%}";
  if (r1) {
    t += fmt::format("{{%- if add_generation_prompt -%}}{{{{- '{}{}\\n' -}}}}{{%- endif -%}}", assistant_token, think_begin_token);
  } else {
    t += fmt::format("{{%- if add_generation_prompt and ns.after_user -%}}{{{{- '{}' -}}}}", assistant_token);
    t += fmt::format("{{%- if thinking -%}}{{{{- '{}' -}}}}{{%- else -%}}{{{{- '{}' -}}}}{{%- endif -%}}{{%- endif -%}}", think_begin_token,
                     think_end_token);
  }
  return t;
}

std::optional<ChatFormat> recognise_template(std::string_view jinja) {
  const auto has = [&](std::string_view text) { return jinja.find(text) != std::string_view::npos; };
  if (!has(user_token) || !has(assistant_token)) return std::nullopt;
  if (has("thinking")) return ChatFormat::v3_1;
  if (has("<｜Assistant｜><think>\\n") || has("<｜Assistant｜><think>\n")) return ChatFormat::r1;
  return std::nullopt;
}

}  // namespace godwit::text
