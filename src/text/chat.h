// DeepSeek's chat templates, rendered natively and as the Jinja text that other engines render to the same string.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace godwit::text {

// A function the model may call.
struct Tool {
  std::string name;
  std::string description;
  std::string parameters;  // a JSON Schema, as text; empty: it takes none
};

// A call the model made.
struct ToolCall {
  std::string id;  // by which the caller's answer names it; DeepSeek's templates leave it out
  std::string name;
  std::string arguments;  // JSON, as the model wrote it
};

struct ChatMessage {
  std::string role;  // system, user, assistant or tool
  std::string content;
  std::vector<ToolCall> tool_calls = {};  // an assistant's
};

// One flat string without newlines: BOS, the system text, then <｜User｜>question<｜Assistant｜>answer EOS …
//   v3_1: hybrid. The prompt ends in <｜Assistant｜><think> or, not thinking, <｜Assistant｜></think>; stored answers follow </think>.
//   r1:   always thinks. The prompt ends in <｜Assistant｜><think> and a newline; several system messages: the last one counts.
// In both, what stored answers say up to </think> is left out.
enum class ChatFormat { v3_1, r1 };

struct ChatOptions {
  bool generation_prompt = true;  // end with the opening of an answer
  bool thinking = true;           // v3_1 only; templates in Jinja have it false unless `thinking` (or `enable_thinking`) is passed
  // Told behind the system text, v3_1 in the words of DeepSeek's model card, r1 in those vLLM and SGLang use, for DeepSeek gives none.
  // DeepSeek trained v3_1 to call tools without thinking.
  std::vector<Tool> tools = {};
};

// The prompt, BOS included: encode it without add_special. No message, or an unknown role, is an input error; so are parameters that are
// no JSON, and a tool's message that follows neither a call nor another tool's.
//
// After a tool's message the model goes on with the answer that called it: no generation prompt is added there.
[[nodiscard]] Result<std::string> render_chat(ChatFormat format, const std::vector<ChatMessage>& messages, ChatOptions options = {});

// A conversation to learn from, in pieces. Joined they are render_chat's string without generation prompt, but that the last answer keeps
// its thinking, behind the prompt that generation would have opened it with: <think> (r1: and a newline). Earlier answers have theirs left
// out, as when they are read again. Each piece is encoded alone: so the ids before an answer are those of its prompt.
struct ChatPiece {
  std::string text;
  bool control = false;  // one control token; else plain text, whatever it spells
  bool learned = false;  // the model would have to write it: answers, the </think> after thinking, the EOS after an answer
};

// What an answer thought stands before </think>, with or without a <think> in front. An input error names the message, from 0: an unknown
// role, nothing in it, thinking without an end or an answer, an answer to nobody, nothing answered at the end.
[[nodiscard]] Result<std::vector<ChatPiece>> render_lesson(ChatFormat format, const std::vector<ChatMessage>& messages);

// The template for tokenizer_config.json's chat_template; it has no tools.
[[nodiscard]] std::string jinja_template(ChatFormat format);

// Which format a template renders; nothing where it is none of DeepSeek's.
[[nodiscard]] std::optional<ChatFormat> recognise_template(std::string_view jinja);

}  // namespace godwit::text
