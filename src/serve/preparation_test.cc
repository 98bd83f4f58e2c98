// Prompts that are not what the template makes of them, limits of the model that are not kept, choices that share a seed.
#include "serve/preparation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::serve {
namespace {

ServedModel model() {
  ServedModel made{.name = "bird", .vocab_size = 320, .context = 64};
  made.tokenizer = text::Tokenizer::bytes();
  made.chat_format = text::ChatFormat::v3_1;
  made.vocabulary.emplace(*made.tokenizer);
  return made;
}

ChatRequest chat(const std::string& content) {
  ChatRequest request;
  request.messages = {{"user", content}};
  return request;
}

TEST(Preparation, AChatBecomesItsTemplatesIds) {
  const ServedModel served = model();
  Preparation made;
  ASSERT_FALSE(prepare(chat("hi"), served, 11, 5, made).has_value());
  ASSERT_EQ(made.requests.size(), 1u);
  const infer::ServedRequest& request = made.requests[0].served;
  const std::string prompt = text::render_chat(text::ChatFormat::v3_1, {{"user", "hi"}}).value();
  EXPECT_EQ(request.request.prompt, served.tokenizer->encode(prompt).value());
  EXPECT_EQ(request.think_end, served.tokenizer->token_id("</think>"));
  EXPECT_EQ(request.request.eos, served.tokenizer->eos());
  EXPECT_EQ(request.request.seed, 11u);
  EXPECT_EQ(request.owner, 5u);
  // To the end of the context where nothing else is said.
  EXPECT_EQ(request.request.max_tokens, 64 - static_cast<std::int64_t>(request.request.prompt.size()));
}

TEST(Preparation, WithoutThinkingThereIsNoEndOfIt) {
  ChatRequest request = chat("hi");
  request.thinking = false;
  Preparation made;
  ASSERT_FALSE(prepare(request, model(), 1, 1, made).has_value());
  EXPECT_FALSE(made.requests[0].served.think_end.has_value());
}

TEST(Preparation, ToolsAreToldAndACallThatMustBeIsAFormat) {
  const ServedModel served = model();
  ChatRequest request = chat("hi");
  request.tool_use.tools = {{"f", "does", R"({"type":"object"})"}};
  request.format = {.kind = Format::Kind::tool_calls, .tools = request.tool_use.tools};
  ServedModel large = served;
  large.context = 4096;
  Preparation made;
  const auto fault = prepare(request, large, 1, 1, made);
  ASSERT_FALSE(fault.has_value()) << fault->message;
  const auto& prompt = made.requests[0].served.request.prompt;
  EXPECT_THAT(served.tokenizer->decode(prompt).value(), testing::HasSubstr("### f\nDescription: does"));
  // After a tool's answer the model goes on without thinking anew.
  request.messages = {{"user", "hi"}, {"assistant", "", {{"1", "f", "{}"}}}, {"tool", "5"}};
  ASSERT_FALSE(prepare(request, large, 1, 1, made).has_value());
  EXPECT_FALSE(made.requests.back().served.think_end.has_value());
}

TEST(Preparation, EveryChoiceHasASeedOfItsOwn) {
  CompletionRequest request;
  request.prompts = {std::vector<std::int32_t>{5, 6}, std::string("x")};
  request.generation.n = 2;
  request.generation.seed = 100;
  Preparation made;
  ASSERT_FALSE(prepare(request, model(), 1, 1, made).has_value());
  std::vector<std::uint64_t> seeds;
  for (const EngineRequest& each : made.requests) seeds.push_back(each.served.request.seed);
  EXPECT_THAT(seeds, testing::ElementsAre(100, 101, 100, 101));
  EXPECT_EQ(made.requests[2].served.request.max_tokens, 16);
  EXPECT_EQ(made.prompt_tokens, 2 + 1);
}

TEST(Preparation, FaultsNameTheParameter) {
  const ServedModel served = model();
  Preparation made;
  const auto param = [&](const auto& request) {
    const auto fault = prepare(request, served, 1, 1, made);
    return fault ? fault->param + " " + fault->code : std::string("-");
  };
  EXPECT_EQ(param(chat(std::string(100, 'x'))), "messages context_length_exceeded");
  ChatRequest request = chat("hi");
  request.generation.max_tokens = 60;
  EXPECT_EQ(param(request), "max_tokens context_length_exceeded");
  request = chat("hi");
  request.generation.model = "fish";
  EXPECT_EQ(param(request), "model model_not_found");
  request = chat("hi");
  request.generation.logit_bias = {{320, 1.0f}};
  EXPECT_EQ(param(request), "logit_bias ");
  request = chat("hi");
  request.format = {.kind = Format::Kind::json_schema, .schema = R"({"type": "fish"})"};
  EXPECT_EQ(param(request), "response_format invalid_schema");
  CompletionRequest completion;
  completion.prompts = {std::vector<std::int32_t>{5, 320}};
  EXPECT_EQ(param(completion), "prompt ");
}

TEST(Preparation, AModelWithoutATokenizerTakesIds) {
  ServedModel served{.name = "bird", .vocab_size = 320, .context = 64};
  Preparation made;
  CompletionRequest completion;
  completion.prompts = {std::vector<std::int32_t>{5}};
  EXPECT_FALSE(prepare(completion, served, 1, 1, made).has_value());
  EXPECT_TRUE(prepare(chat("hi"), served, 1, 1, made).has_value());
  completion.echo = true;
  EXPECT_TRUE(prepare(completion, served, 1, 1, made).has_value());
}

TEST(Preparation, TokensGoThereAndBack) {
  const ServedModel served = model();
  std::string answer;
  TokenizeRequest request;
  request.content = std::string("ab");
  ASSERT_FALSE(tokenize(request, served, answer).has_value());
  EXPECT_EQ(answer, R"({"tokens":[67,68],"count":2,"max_model_len":64})");
  ASSERT_FALSE(detokenize({.model = "", .tokens = {67, 68, 225}}, served, answer).has_value());
  EXPECT_EQ(answer, "{\"prompt\":\"ab\xEF\xBF\xBD\",\"content\":\"ab\xEF\xBF\xBD\"}");
  EXPECT_TRUE(detokenize({.model = "", .tokens = {320}}, served, answer).has_value());
}

}  // namespace
}  // namespace godwit::serve
