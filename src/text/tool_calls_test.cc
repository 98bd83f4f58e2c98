// What could go wrong: a call shown to the user as text, or text taken for a call; a call that depends on where the tokens were cut; text
// lost because an answer broke off.
#include "text/tool_calls.h"

#include <gtest/gtest.h>

#include <random>

#include "text/special_tokens.h"

namespace godwit::text {
namespace {

struct Read {
  std::string content;
  std::vector<ToolCall> calls;
};

Read read(ChatFormat format, const std::string& text, std::size_t piece) {
  ToolCallParser parser(format, 7);
  Read result;
  const auto take = [&](const std::vector<ToolCallDelta>& deltas) {
    for (const ToolCallDelta& delta : deltas) {
      if (delta.is_content()) {
        result.content += delta.content;
        continue;
      }
      if (!delta.id.empty()) {
        EXPECT_EQ(delta.index, result.calls.size());
        result.calls.push_back({delta.id, delta.name, ""});
      }
      EXPECT_LT(delta.index, result.calls.size());
      result.calls.at(delta.index).arguments += delta.arguments;
    }
  };
  for (std::size_t at = 0; at < text.size(); at += piece) take(parser.push(std::string_view(text).substr(at, piece)));
  take(parser.finish());
  EXPECT_EQ(parser.calls(), result.calls.size());
  return result;
}

// The same however it is cut: content in front, then name(arguments) for each call.
std::string read(ChatFormat format, const std::string& text) {
  std::optional<std::string> all;
  for (const std::size_t piece : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{7}, std::size_t{40}, std::size_t{10'000}}) {
    const Read result = read(format, text, piece);
    std::string one = result.content;
    for (const ToolCall& call : result.calls) one += "|" + call.name + "(" + call.arguments + ")";
    EXPECT_EQ(all.value_or(one), one) << "in pieces of " << piece;
    all = one;
  }
  return *all;
}

std::string v3_1(const std::string& text) {
  return read(ChatFormat::v3_1, text);
}

TEST(ToolCalls, AreReadInBothFormats) {
  EXPECT_EQ(v3_1("Let me see.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{\"city\":\"<Bonn>\"}<｜tool▁call▁end｜>"
                 "<｜tool▁call▁begin｜>now<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"),
            "Let me see.|get({\"city\":\"<Bonn>\"})|now({})");
  EXPECT_EQ(
      read(ChatFormat::r1,
           "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{\"a\":\"\\n```\"}\n```<｜tool▁call▁end｜>\n"
           "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>\n"),
      "|get({\"a\":\"\\n```\"})|now({})");
  EXPECT_EQ(v3_1("no call at all < <｜ 漢"), "no call at all < <｜ 漢");
}

TEST(ToolCalls, ThatAreNoneAreContent) {
  for (const std::string text :
       {"<｜tool▁calls▁begin｜>", "a<｜tool▁calls▁beg", "<｜tool▁calls▁begin｜>oops", "<｜tool▁calls▁begin｜><｜tool▁calls▁end｜>",
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get", "<｜tool▁calls▁begin｜> <｜tool▁call▁begin｜>get<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>x", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜> <｜tool▁sep｜>{}",
        "<｜tool▁call▁begin｜>get<｜tool▁sep｜>{}<｜tool▁call▁end｜>"}) {
    EXPECT_EQ(v3_1(text), text);
    EXPECT_EQ(read(ChatFormat::r1, text), text);
  }
  const std::string endless = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>" + std::string(2000, 'x') + "<｜tool▁sep｜>{}";
  EXPECT_EQ(v3_1(endless), endless);
  EXPECT_EQ(v3_1("<｜tool▁calls▁begin｜>oops<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>1<｜tool▁call▁end｜>"),
            "<｜tool▁calls▁begin｜>oops|a(1)");
}

TEST(ToolCalls, ThatBreakOffKeepWhatCame) {
  const std::string call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>";
  EXPECT_EQ(v3_1(call + "{\"a\":1"), "|get({\"a\":1)");
  EXPECT_EQ(v3_1(call), "|get()");
  EXPECT_EQ(v3_1(call + "{}<｜tool▁call▁end｜>and more"), "and more|get({})");
  EXPECT_EQ(read(ChatFormat::r1, "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{}\n```"), "|get({})");
}

TEST(ToolCalls, HaveIdsOfTheirOwn) {
  const std::string text =
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁call▁begin｜>a<｜tool▁sep｜>{}";
  const Read result = read(ChatFormat::v3_1, text, 5);
  ASSERT_EQ(result.calls.size(), 2u);
  EXPECT_EQ(result.calls[0].id, "call_00000000000000070000");
  EXPECT_EQ(result.calls[1].id, "call_00000000000000070001");
}

TEST(ToolCalls, DoNotDependOnWhereTheTextIsCut) {
  std::mt19937 random(5);
  const std::vector<std::string> parts{std::string(tool_calls_begin_token),
                                       std::string(tool_call_begin_token),
                                       std::string(tool_separator_token),
                                       std::string(tool_call_end_token),
                                       std::string(tool_calls_end_token),
                                       "function",
                                       "\n```json\n",
                                       "\n```",
                                       " ",
                                       "{\"a\":1}",
                                       "<｜tool▁",
                                       "x"};
  for (int round = 0; round < 3000; ++round) {
    std::string text;
    for (std::size_t i = 0; i < 1 + random() % 12; ++i) text += parts[random() % parts.size()];
    (void)read(random() % 2 == 0 ? ChatFormat::v3_1 : ChatFormat::r1, text);
  }
}

}  // namespace
}  // namespace godwit::text
