#include "text/chat.h"

#include <fmt/format.h>

#include "text/special_tokens.h"

namespace godwit::text {
namespace {

// v3_1 cuts behind the first </think>, r1 behind the last: so do DeepSeek's own templates.
std::string_view without_thinking(ChatFormat format, std::string_view content) {
  const std::size_t end = format == ChatFormat::v3_1 ? content.find(think_end_token) : content.rfind(think_end_token);
  return end == std::string_view::npos ? content : content.substr(end + think_end_token.size());
}

}  // namespace

Result<std::string> render_chat(ChatFormat format, const std::vector<ChatMessage>& messages, ChatOptions options) {
  if (messages.empty()) return input_error("a chat without messages; give at least one");
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
  std::string prompt = std::string(bos_token) + system;
  bool after_user = false;
  for (const ChatMessage& message : messages) {
    if (message.role == "user") {
      prompt += user_token;
      prompt += message.content;
      after_user = true;
    } else if (message.role == "assistant") {
      if (format == ChatFormat::r1) {
        prompt += assistant_token;
      } else if (after_user) {
        prompt += assistant_token;
        prompt += think_end_token;
      }
      prompt += without_thinking(format, message.content);
      prompt += eos_token;
      after_user = false;
    } else if (message.role != "system") {
      return input_error("a chat message has the role {}; system, user and assistant are known", message.role);
    }
  }
  if (!options.generation_prompt) return prompt;
  if (format == ChatFormat::r1) {
    prompt += assistant_token;
    prompt += think_begin_token;
    prompt += '\n';
  } else if (after_user) {
    prompt += assistant_token;
    prompt += options.thinking ? think_begin_token : think_end_token;
  }
  return prompt;
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
