// An answer's text as it grows, parted into what is said and the tools that are called, in DeepSeek's format and OpenAI's form.
//
// A server feeds every piece of an answer that is not thinking (ServedEvent::text) and sends each delta on:
//   for (const ToolCallDelta& delta : parser.push(event.text)) …      at the end: parser.finish()
// finish_reason is "tool_calls" where parser.calls() > 0 and the answer ended by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat.h"

namespace godwit::text {

// Content, or something new about a call.
struct ToolCallDelta {
  std::string content;
  // Where content is empty: the call's place in the message. Its first delta has id and name, later ones more of its arguments.
  std::size_t index = 0;
  std::string id, name, arguments;

  [[nodiscard]] bool is_content() const { return !content.empty(); }
  friend bool operator==(const ToolCallDelta&, const ToolCallDelta&) = default;
};

// Text that only looks like a call, or is cut off before a call's name is complete, becomes content as it stands: nothing is lost. A call
// whose arguments break off keeps those that came. Arguments are passed on as the model wrote them, JSON or not: a grammar
// (infer::Grammar::tool_calls) makes them JSON for certain. Between calls white space is left out, and so is what follows the last call's
// closing token. The control tokens must be in the text: keep those that are not special, as AnswerText does. Not thread-safe.
class ToolCallParser {
 public:
  // Ids are made of `seed`, the request's number or whatever else tells answers apart, and of the call's place.
  ToolCallParser(ChatFormat format, std::uint64_t seed) : format_(format), seed_(seed) {}

  // Pieces need not be whole tokens nor whole characters.
  [[nodiscard]] std::vector<ToolCallDelta> push(std::string_view piece);
  // What was held back. Nothing may be pushed afterwards.
  [[nodiscard]] std::vector<ToolCallDelta> finish();
  // Calls begun so far.
  [[nodiscard]] std::size_t calls() const { return calls_; }

 private:
  enum class Part { content, between, header, arguments, behind };

  // Does one thing that is certain; false where more text is needed.
  [[nodiscard]] bool advance(std::vector<ToolCallDelta>& deltas);
  [[nodiscard]] bool read_content(std::vector<ToolCallDelta>& deltas);
  [[nodiscard]] bool read_between(std::vector<ToolCallDelta>& deltas);
  [[nodiscard]] bool read_header(std::vector<ToolCallDelta>& deltas);
  [[nodiscard]] bool read_arguments(std::vector<ToolCallDelta>& deltas);
  // What was taken for the beginning of calls is content after all.
  void as_content(std::vector<ToolCallDelta>& deltas);

  ChatFormat format_;
  std::uint64_t seed_;
  Part part_ = Part::content;
  std::string held_;    // not yet judged
  std::string opened_;  // tokens taken since the last call or content, to be given back should no call follow
  std::size_t calls_ = 0;
};

}  // namespace godwit::text
