// Parameters that are passed over, values out of range that are taken, faults that name nothing.
#include "serve/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace godwit::serve {
namespace {

using testing::HasSubstr;

constexpr const char* hello = R"("messages": [{"role": "user", "content": "hello"}])";

std::string chat_body(const std::string& members) {
  return "{" + std::string(hello) + (members.empty() ? "" : ", " + members) + "}";
}

ChatRequest chat(const std::string& members) {
  ChatRequest request;
  const auto fault = parse_request(chat_body(members), request);
  EXPECT_FALSE(fault.has_value()) << members << ": " << fault->message;
  return request;
}

// The parameter a body is refused for; "-": it is taken.
std::string refused_for(const std::string& body) {
  ChatRequest request;
  const auto fault = parse_request(body, request);
  if (!fault) return "-";
  EXPECT_EQ(fault->status, 400);
  EXPECT_FALSE(fault->message.empty());
  return fault->param;
}

TEST(RequestParser, WhatIsNotSaidIsOpenAIsDefault) {
  const ChatRequest request = chat("");
  EXPECT_EQ(request.generation.sampling.temperature, 1);
  EXPECT_EQ(request.generation.sampling.top_p, 1);
  EXPECT_EQ(request.generation.n, 1);
  EXPECT_FALSE(request.generation.stream);
  EXPECT_FALSE(request.generation.logprobs.has_value());
  EXPECT_FALSE(request.generation.seed.has_value());
  EXPECT_TRUE(request.thinking);
  ASSERT_EQ(request.messages.size(), 1u);
  EXPECT_EQ(request.messages[0].content, "hello");
}

TEST(RequestParser, EveryParameterArrives) {
  const ChatRequest request =
      chat(R"("temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "frequency_penalty": -1, "presence_penalty": 2,
    "seed": 18446744073709551615, "n": 3, "stop": ["a", "b"], "max_tokens": 7, "max_completion_tokens": 7, "logprobs": true, "top_logprobs": 20,
    "logit_bias": {"5": -100, "17": 0.5}, "stream": true, "stream_options": {"include_usage": true}, "thinking": {"type": "disabled"},
    "user": "u", "ignore_eos": true, "return_token_ids": true, "model": "m", "response_format": {"type": "json_object"})");
  const Generation& g = request.generation;
  EXPECT_EQ(g.sampling.temperature, 0.5);
  EXPECT_EQ(g.sampling.top_k, 40);
  EXPECT_EQ(g.seed, 18446744073709551615u);
  EXPECT_EQ(g.n, 3);
  EXPECT_THAT(g.stop, testing::ElementsAre("a", "b"));
  EXPECT_EQ(g.max_tokens, 7);
  EXPECT_EQ(g.logprobs, 20);
  EXPECT_THAT(g.logit_bias, testing::ElementsAre(testing::Pair(5, -100.0f), testing::Pair(17, 0.5f)));
  EXPECT_TRUE(g.stream && g.include_usage && g.ignore_eos && g.return_token_ids);
  EXPECT_FALSE(request.thinking);
  EXPECT_EQ(g.user, "u");
  EXPECT_EQ(request.format.kind, Format::Kind::json_object);
}

TEST(RequestParser, NullIsNotGiven) {
  EXPECT_EQ(
      refused_for(chat_body(R"("temperature": null, "stop": null, "tools": null, "functions": null, "seed": null, "logit_bias": null)")),
      "-");
}

TEST(RequestParser, FaultsNameTheParameter) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature": -1)", "temperature"},
      {R"("temperature": 1e300)", "temperature"},
      {R"("temperature": 1e-300)", "temperature"},
      {R"("temperature": "hot")", "temperature"},
      {R"("top_p": 7)", "top_p"},
      {R"("max_tokens": "x")", "max_tokens"},
      {R"("max_tokens": 1e30)", "max_tokens"},
      {R"("max_tokens": 0)", "max_tokens"},
      {R"("max_tokens": 3, "max_completion_tokens": 4)", "max_completion_tokens"},
      {R"("n": 0)", "n"},
      {R"("n": 1.5)", "n"},
      {R"("seed": 1.5)", "seed"},
      {R"("seed": 1e40)", "seed"},
      {R"("stop": "")", "stop"},
      {R"("stop": ["a", 3])", "stop"},
      {R"("top_logprobs": 21, "logprobs": true)", "top_logprobs"},
      {R"("top_logprobs": 2)", "top_logprobs"},
      {R"("logit_bias": {"05": 1})", "logit_bias"},
      {R"("logit_bias": {"x": 1})", "logit_bias"},
      {R"("logit_bias": {"3": 101})", "logit_bias"},
      {R"("logit_bias": [1])", "logit_bias"},
      {R"("stream_options": {"include_usage": true})", "stream_options"},
      {R"("stream": true, "stream_options": {"usage": true})", "stream_options.usage"},
      {R"("thinking": {"type": "maybe"})", "thinking.type"},
      {R"("thinking": {"type": "enabled"}, "chat_template_kwargs": {"thinking": false})", "chat_template_kwargs.thinking"},
      {R"("response_format": {"type": "xml"})", "response_format.type"},
      {R"("response_format": {"type": "json_schema"})", "response_format.json_schema"},
      {R"("response_format": {"type": "json_schema", "json_schema": {"schema": 5}})", "response_format.json_schema.schema"},
      {R"("functions": [{}])", "functions"},
      {R"("reasoning_effort": "high")", "reasoning_effort"},
      {R"("user": "a", "user_id": "b")", "user_id"},
      {R"("tempurature": 1)", "tempurature"},
  };
  for (const auto& [members, param] : cases) EXPECT_EQ(refused_for(chat_body(members)), param) << members;
}

TEST(RequestParser, MessagesNameTheirPlace) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages": []})", "messages"},
      {R"({"messages": "hello"})", "messages"},
      {R"({})", "messages"},
      {R"({"messages": [3]})", "messages[0]"},
      {R"({"messages": [{"content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "robot", "content": "x"}]})", "messages[0].role"},
      {R"({"messages": [{"role": "user"}]})", "messages[0].content"},
      {R"({"messages": [{"role": "user", "content": 5}]})", "messages[0].content"},
      {R"({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]})", "messages[0].content[0].type"},
      {R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]})", "messages"},
      {R"({"messages": [{"role": "user", "content": "a", "mood": "b"}]})", "messages[0].mood"},
  };
  for (const auto& [body, param] : cases) EXPECT_EQ(refused_for(body), param) << body;
}

TEST(RequestParser, AMessageGoesBackAsItCame) {
  ChatRequest request;
  const auto fault = parse_request(
      R"({"messages": [{"role": "developer", "content": "be brief"}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": "assistant", "content": "b", "reasoning_content": "hm", "refusal": null, "annotations": [], "audio": null, "function_call": null,
     "tool_calls": null}, {"role": "user", "content": "c"}]})",
      request);
  ASSERT_FALSE(fault.has_value()) << fault->message;
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[1].content, "a");
  EXPECT_EQ(request.messages[2].content, "b");
}

TEST(RequestParser, ToolsAreWhatMayBeCalled) {
  const std::string tools =
      R"("tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true}},
    {"type": "function", "function": {"name": "g"}}])";
  EXPECT_EQ(chat(tools).tool_use.choice, ToolUse::Choice::automatic);
  EXPECT_EQ(chat(tools).tool_use.tools.at(0).parameters, R"({"type":"object"})");
  EXPECT_TRUE(chat(tools + R"(, "tool_choice": "none")").tool_use.tools.empty());
  EXPECT_EQ(chat(tools + R"(, "tool_choice": "required", "parallel_tool_calls": false)").format.kind, Format::Kind::tool_calls);
  const ChatRequest named = chat(tools + R"(, "tool_choice": {"type": "function", "function": {"name": "g"}})");
  ASSERT_EQ(named.format.tools.size(), 1u);
  EXPECT_EQ(named.format.tools[0].name, "g");
  const std::pair<std::string, const char*> cases[] = {
      {R"("tools": 5)", "tools"},
      {R"("tools": [{"type": "fish"}])", "tools[0].type"},
      {R"("tools": [{"type": "function"}])", "tools[0].function"},
      {R"("tools": [{"type": "function", "function": {"name": "a b"}}])", "tools[0].function.name"},
      {R"("tools": [{"type": "function", "function": {"name": "a", "parameters": 5}}])", "tools[0].function.parameters"},
      {R"("tools": [{"function": {"name": "a"}}, {"function": {"name": "a"}}])", "tools"},
      {R"("tool_choice": "auto")", "tool_choice"},
      {R"("parallel_tool_calls": true)", "parallel_tool_calls"},
      {tools + R"(, "tool_choice": "perhaps")", "tool_choice"},
      {tools + R"(, "tool_choice": {"type": "function", "function": {"name": "h"}})", "tool_choice"},
      {tools + R"(, "tool_choice": "required", "response_format": {"type": "json_object"})", "response_format"},
  };
  for (const auto& [members, param] : cases) EXPECT_EQ(refused_for(chat_body(members)), param) << members;
}

TEST(RequestParser, CallsAndTheirAnswersGoBack) {
  ChatRequest request;
  const auto fault = parse_request(R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": null, "tool_calls":
    [{"id": "1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "5"}]})",
                                   request);
  ASSERT_FALSE(fault.has_value()) << fault->message;
  EXPECT_EQ(request.messages[1].tool_calls.at(0).name, "f");
  EXPECT_EQ(request.messages[2].role, "tool");
}

TEST(RequestParser, TheNearestNameIsTold) {
  ChatRequest request;
  const auto fault = parse_request(chat_body(R"("max_token": 4)"), request);
  ASSERT_TRUE(fault.has_value());
  EXPECT_THAT(fault->message, HasSubstr("did you mean max_tokens?"));
  EXPECT_EQ(fault->code, "unknown_parameter");
}

TEST(RequestParser, WhatIsNoJsonIsRefused) {
  const std::string deep(20000, '[');
  for (const std::string& body :
       {std::string(), std::string("{"), std::string("[]"), std::string("3"), chat_body(R"("temperature": NaN)"),
        chat_body(R"("n": 1, "n": 2)"), chat_body(R"("user": "\ud800")"), chat_body("\"user\": \"\xff\""), chat_body("\"x\": " + deep),
        chat_body(R"("response_format": {"type": "json_schema", "json_schema": {"schema": {"a": )" + deep)}) {
    ChatRequest request;
    const auto fault = parse_request(body, request);
    ASSERT_TRUE(fault.has_value()) << body.substr(0, 100);
    EXPECT_EQ(fault->status, 400);
  }
}

TEST(RequestParser, PromptsComeInFourForms) {
  const std::pair<const char*, std::size_t> cases[] = {
      {R"({"prompt": "a"})", 1}, {R"({"prompt": ["a", "b"]})", 2}, {R"({"prompt": [1, 2, 3]})", 1}, {R"({"prompt": [[1], [2, 3]]})", 2}};
  for (const auto& [body, count] : cases) {
    CompletionRequest request;
    EXPECT_FALSE(parse_request(body, request).has_value()) << body;
    EXPECT_EQ(request.prompts.size(), count) << body;
  }
  for (const char* body : {R"({"prompt": []})", R"({"prompt": [[]]})", R"({"prompt": [1, "a"]})", R"({"prompt": ["a", 1]})",
                           R"({"prompt": [-1]})", R"({"prompt": [1.5]})", R"({"prompt": 5})", R"({"prompt": {}})", R"({})"}) {
    CompletionRequest request;
    const auto fault = parse_request(body, request);
    ASSERT_TRUE(fault.has_value()) << body;
    EXPECT_EQ(fault->param, "prompt") << body;
  }
}

}  // namespace
}  // namespace godwit::serve
