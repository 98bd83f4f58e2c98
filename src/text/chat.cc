#include "text/chat.h"

#include <fmt/format.h>

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

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

// That every answer answers something and says something.
Result<void> check_lesson(ChatFormat format, const std::vector<ChatMessage>& messages) {
  bool after_user = false;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const auto& [role, content] = messages[i];
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
  std::string prompt = std::string(bos_token) + system_text(format, messages);
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
    const auto& [role, content] = messages[i];
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
