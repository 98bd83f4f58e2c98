#include "data/chat_file.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "base/json.h"
#include "data/lines.h"
#include "data/problem_file.h"
#include "text/special_tokens.h"

namespace godwit::data {
namespace {

constexpr std::uint64_t file_bytes_max = std::uint64_t{1} << 36;
constexpr std::string_view example =
    R"({"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]} or {"question": "…", "answer": "…"})";

Result<text::ChatMessage> read_message(const Json& message, std::string_view place) {
  if (!message.is_object()) return input_error("{} is {}, an object is wanted: {}", place, message.type_name(), example);
  text::ChatMessage read;
  for (const auto& [key, member] : {std::pair{"role", &read.role}, std::pair{"content", &read.content}}) {
    const Json* found = message.find(key);
    if (found == nullptr) return input_error("{} has no \"{}\"; a line is {}", place, key, example);
    if (!found->is_string()) return input_error("{}: \"{}\" is {}, a text is wanted: {}", place, key, found->type_name(), example);
    *member = found->string();
  }
  // Passed over, they would be lost: an answer would be learned without what led to it.
  for (const char* key : {"reasoning_content", "tool_calls"}) {
    const Json* found = message.find(key);
    if (found == nullptr || found->is_null()) continue;
    return input_error("{} has \"{}\", which is not learned; write what is to be learned into \"content\", thinking as {}…{} in front",
                       place, key, text::think_begin_token, text::think_end_token);
  }
  return read;
}

std::vector<text::ChatMessage> as_conversation(const Problem& problem) {
  std::string answer = problem.truth;
  if (!problem.chain.empty()) answer = fmt::format("{}{}{}{}", text::think_begin_token, problem.chain, text::think_end_token, answer);
  return {{"user", problem.prompt}, {"assistant", answer}};
}

// Nothing where the line has none.
Result<std::optional<std::vector<text::ChatMessage>>> read_line(std::string_view text, const std::string& place) {
  TRY_ASSIGN(const Json line, parse_json(text, place));
  if (!line.is_object()) return input_error("{}: is {}, an object is wanted: {}", place, line.type_name(), example);
  const Json* messages = line.find("messages");
  if (messages == nullptr) {
    if (!line.contains("question")) {
      return input_error("{}: has neither \"messages\" nor \"question\"; a line is {}", place, example);
    }
    TRY_ASSIGN(const Problem problem, read_problem(line, place));
    return std::optional(as_conversation(problem));
  }
  if (messages->is_null()) return std::optional<std::vector<text::ChatMessage>>();
  if (!messages->is_array()) return input_error("{}: \"messages\" is {}, a list is wanted: {}", place, messages->type_name(), example);
  std::vector<text::ChatMessage> conversation;
  for (std::size_t i = 0; i < messages->size(); ++i) {
    TRY_ASSIGN(text::ChatMessage message, read_message((*messages)[i], fmt::format("{}: messages[{}]", place, i)));
    conversation.push_back(std::move(message));
  }
  return std::optional(std::move(conversation));
}

}  // namespace

Result<ChatFile> read_chat_file(const std::filesystem::path& path, const TakeConversation& take) {
  TRY_ASSIGN(const std::string text, read_file(path, file_bytes_max));
  ChatFile file{{path, text.size(), sha256(as_bytes(text))}};
  TRY(each_line(path, text, [&](std::string_view line, const std::string& place, double share) -> Result<void> {
    TRY_ASSIGN(const auto conversation, read_line(line, place));
    if (conversation) return take(*conversation, place, share);
    ++file.passed_over;
    return {};
  }));
  return file;
}

}  // namespace godwit::data
