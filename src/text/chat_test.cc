// What could go wrong: the prompt a model was trained on and the one it is served with differ by a token.
#include "text/chat.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace godwit::text {
namespace {

const std::vector<ChatMessage> conversation{
    {"system", "Be brief."}, {"user", "1+1?"}, {"assistant", "<think>easy</think>2"}, {"system", "Be kind."}, {"user", "And 2+2?"}};

TEST(Chat, V31GathersSystemTextsAndStripsThinking) {
  EXPECT_EQ(*render_chat(ChatFormat::v3_1, conversation),
            "<｜begin▁of▁sentence｜>Be brief.\n\nBe kind.<｜User｜>1+1?<｜Assistant｜></think>2<｜end▁of▁sentence｜><｜User｜>And "
            "2+2?<｜Assistant｜><think>");
  EXPECT_EQ(*render_chat(ChatFormat::v3_1, {{"user", "q"}}, {.thinking = false}),
            "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜></think>");
  EXPECT_EQ(*render_chat(ChatFormat::v3_1, {{"user", "q"}, {"assistant", "a</think>b</think>c"}}),
            "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜></think>b</think>c<｜end▁of▁sentence｜>");
}

TEST(Chat, R1TakesTheLastSystemTextAndAlwaysThinks) {
  EXPECT_EQ(*render_chat(ChatFormat::r1, conversation, {.thinking = false}),
            "<｜begin▁of▁sentence｜>Be kind.<｜User｜>1+1?<｜Assistant｜>2<｜end▁of▁sentence｜><｜User｜>And 2+2?<｜Assistant｜><think>\n");
  EXPECT_EQ(*render_chat(ChatFormat::r1, {{"user", "q"}, {"assistant", "a</think>b</think>c"}}, {.generation_prompt = false}),
            "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜>c<｜end▁of▁sentence｜>");
}

TEST(Chat, RefusesWhatItCannotRender) {
  const auto role = render_chat(ChatFormat::v3_1, {{"wizard", "x"}});
  ASSERT_FALSE(role.ok());
  EXPECT_EQ(role.error().kind, ErrorKind::input);
  EXPECT_NE(role.error().message.find("wizard"), std::string::npos);
  EXPECT_FALSE(render_chat(ChatFormat::r1, {}).ok());
}

// The learned pieces in brackets.
std::string lesson(ChatFormat format, const std::vector<ChatMessage>& messages) {
  const auto pieces = render_lesson(format, messages);
  if (!pieces.ok()) return pieces.error().message;
  std::string text;
  for (const ChatPiece& piece : *pieces) text += piece.learned ? "[" + piece.text + "]" : piece.text;
  return text;
}

TEST(Chat, LessonsKeepTheLastAnswersThinkingAndTeachAnswersAlone) {
  std::vector<ChatMessage> messages = conversation;
  messages.push_back({"assistant", "<think>\n2+2=4</think>4"});
  EXPECT_EQ(lesson(ChatFormat::v3_1, messages),
            "<｜begin▁of▁sentence｜>Be brief.\n\nBe kind.<｜User｜>1+1?<｜Assistant｜></think>[2][<｜end▁of▁sentence｜>]<｜User｜>And "
            "2+2?<｜Assistant｜><think>[\n2+2=4][</think>][4][<｜end▁of▁sentence｜>]");
  EXPECT_EQ(lesson(ChatFormat::r1, messages),
            "<｜begin▁of▁sentence｜>Be kind.<｜User｜>1+1?<｜Assistant｜>[2][<｜end▁of▁sentence｜>]<｜User｜>And "
            "2+2?<｜Assistant｜><think>\n[2+2=4][</think>][4][<｜end▁of▁sentence｜>]");
  EXPECT_EQ(lesson(ChatFormat::v3_1, {{"user", "q"}, {"assistant", "<think></think>a"}}),
            "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜><think>[</think>][a][<｜end▁of▁sentence｜>]");
  EXPECT_EQ(lesson(ChatFormat::v3_1, {{"user", "q"}, {"assistant", "why</think>a"}}),
            "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜><think>[why][</think>][a][<｜end▁of▁sentence｜>]");
}

TEST(Chat, LessonsWithoutThinkingReadAsTheTemplateSays) {
  const std::vector<ChatMessage> messages{{"user", "a"}, {"assistant", "b"}, {"user", "c"}, {"user", "d"}, {"assistant", "e"}};
  for (const ChatFormat format : {ChatFormat::v3_1, ChatFormat::r1}) {
    std::string joined;
    for (const ChatPiece& piece : *render_lesson(format, messages)) joined += piece.text;
    EXPECT_EQ(joined, *render_chat(format, messages, {.generation_prompt = false}));
  }
}

TEST(Chat, LessonsThatTeachNothingAreRefused) {
  const auto v3_1 = [](const std::vector<ChatMessage>& messages) { return lesson(ChatFormat::v3_1, messages); };
  EXPECT_EQ(v3_1({}), "there is no answer of an assistant in the conversation, so nothing to learn");
  EXPECT_EQ(v3_1({{"user", "a"}, {"tool", "b"}}), "messages[1] has the role tool; system, user and assistant are known");
  EXPECT_EQ(v3_1({{"user", " \n"}, {"assistant", "b"}}), "messages[0], of role user, is empty");
  EXPECT_EQ(v3_1({{"user", "a"}, {"assistant", "b"}, {"assistant", "c"}}),
            "messages[2] is an answer, and no user's message stands before it since the last one");
  EXPECT_EQ(v3_1({{"user", "a"}, {"assistant", "<think>b"}}), "messages[1] begins with <think> and has no </think>");
  EXPECT_EQ(v3_1({{"user", "a"}, {"assistant", "<think>b</think> "}}), "messages[1] has no answer behind its </think>");
  EXPECT_EQ(v3_1({{"user", "a"}, {"assistant", "b"}, {"user", "c"}}),
            "the last message is a user's and has no answer to learn; leave it out, or give the answer");
}

// Rendered by Jinja from DeepSeek's own templates; R1-0528's tools are R1's, and only chats are here whose other parts are too.
TEST(Chat, ToolsAreRenderedAsDeepSeeksTemplatesDo) {
  std::istringstream lines(read_file(std::filesystem::path(GODWIT_SOURCE_DIR) / "tests/golden/chat/expected.jsonl").value());
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const Json expected = parse_json(line, "expected.jsonl").value();
    std::vector<ChatMessage> messages;
    for (const Json& message : expected["messages"]) {
      messages.push_back({message["role"].string(), message["content"].string()});
      for (const Json& call : message.value("tool_calls", Json::array())) {
        const Json& function = call["function"];
        messages.back().tool_calls.push_back({call["id"].string(), function["name"].string(), function["arguments"].string()});
      }
    }
    const ChatFormat format = expected["format"].string() == "v3_1" ? ChatFormat::v3_1 : ChatFormat::r1;
    const ChatOptions options{expected["generation_prompt"].get<bool>(), expected["thinking"].get<bool>(), {}};
    EXPECT_EQ(*render_chat(format, messages, options), expected["prompt"].string());
  }
  EXPECT_EQ(count, 12);
}

TEST(Chat, ToolsAreToldBehindTheSystemText) {
  const std::vector<Tool> tools{{"get", "Gets, \"it\".", R"({"type":"object","properties":{"a,b:":{"type":"string"}}})"}, {"now", "", ""}};
  const ChatOptions options{true, false, tools};
  EXPECT_EQ(*render_chat(ChatFormat::v3_1, {{"system", "s"}, {"user", "q"}}, options),
            "<｜begin▁of▁sentence｜>s\n\n## Tools\nYou have access to the following tools:\n\n### get\nDescription: Gets, \"it\".\n\n"
            "Parameters: {\"type\": \"object\", \"properties\": {\"a,b:\": {\"type\": \"string\"}}}\n\n### now\nDescription: \n\n"
            "Parameters: {\"type\": \"object\", \"properties\": {}}\n\n"
            "IMPORTANT: ALWAYS adhere to this exact format for tool use:\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name"
            "<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>{additional_tool_calls}<｜tool▁calls▁end｜>\n\nWhere:\n"
            "- `tool_call_name` must be an exact match to one of the available tools\n"
            "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
            "- For multiple tool calls, chain them directly without separators or spaces\n<｜User｜>q<｜Assistant｜></think>");
  const std::string r1 = *render_chat(ChatFormat::r1, {{"user", "q"}}, options);
  EXPECT_NE(r1.find("\n```json\n{\"type\": \"function\", \"function\": {\"name\": \"get\", \"description\": \"Gets, \\\"it\\\".\", "),
            std::string::npos)
      << r1;
  EXPECT_FALSE(render_chat(ChatFormat::v3_1, {{"user", "q"}}, {.tools = {{"bad", "", "{"}}}).ok());
  EXPECT_FALSE(render_chat(ChatFormat::v3_1, {{"user", "q"}, {"tool", "1"}}).ok());
}

TEST(Chat, OwnTemplatesAreRecognised) {
  EXPECT_EQ(recognise_template(jinja_template(ChatFormat::v3_1)), ChatFormat::v3_1);
  EXPECT_EQ(recognise_template(jinja_template(ChatFormat::r1)), ChatFormat::r1);
  EXPECT_EQ(recognise_template("{{ messages }}"), std::nullopt);
  EXPECT_EQ(recognise_template(Tokenizer::bytes().chat_template()), ChatFormat::v3_1);
}

TEST(Chat, ControlTokensOfThePromptAreSingleIds) {
  const Tokenizer tokenizer = Tokenizer::bytes();
  const auto ids = *tokenizer.encode(*render_chat(ChatFormat::v3_1, {{"user", "q"}}));
  const std::vector<std::int32_t> expected{0, *tokenizer.token_id("<｜User｜>"), *tokenizer.token_id("q"),
                                           *tokenizer.token_id("<｜Assistant｜>"), *tokenizer.token_id("<think>")};
  EXPECT_EQ(ids, expected);
}

}  // namespace
}  // namespace godwit::text
