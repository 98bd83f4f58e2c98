// A file of conversations: .jsonl, one object a line; other members and blank lines are passed over.
//
//     {"messages": [{"role": "system" | "user" | "assistant", "content": "…"}, …]}     a conversation; null: none, passed over
//     {"question": "…", "answer": "…"}                                                 a problem (problems.h): the question is the user's,
//     its
//                                                                                      answer the assistant's, the chain, if any, its
//                                                                                      thinking
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "data/dataset.h"
#include "text/chat.h"

namespace godwit::data {

struct ChatFile {
  DataFile file;
  std::uint64_t passed_over = 0;  // lines without a conversation
};

// Calls `take` for every conversation in order; `place` is "FILE:LINE", and `share` how much of the file is then read. Its error ends the
// whole, and so does a broken line, by file and line.
using TakeConversation =
    std::function<Result<void>(const std::vector<text::ChatMessage>& messages, const std::string& place, double share)>;
[[nodiscard]] Result<ChatFile> read_chat_file(const std::filesystem::path& path, const TakeConversation& take);

}  // namespace godwit::data
