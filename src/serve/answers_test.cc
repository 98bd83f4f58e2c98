// Documents that a client for OpenAI's or DeepSeek's API would stumble over; figures that do not add up; keys that are not kept apart.
#include "serve/answers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "serve/keys.h"
#include "serve/metrics.h"

namespace godwit::serve {
namespace {

using testing::HasSubstr;

ServedModel model() {
  ServedModel made{.name = "bird", .vocab_size = 320, .context = 64};
  made.tokenizer = text::Tokenizer::bytes();
  return made;
}

AnswerHead head() {
  return {.id = "x", .number = 3, .created = 5, .model = "bird", .fingerprint = "f", .seed = 9};
}

infer::ServedEvent event(const ServedModel& served, std::string_view token, std::string text, bool thinking = false) {
  infer::ServedEvent made;
  made.id = *served.tokenizer->token_id(token);
  made.logprob = -0.5f;
  made.text = std::move(text);
  made.thinking = thinking;
  return made;
}

TEST(ChatAnswers, DeltasHaveBothContents) {
  const ServedModel served = model();
  const auto form = chat_form(served, head(), {}, {});
  const Json thought = parse_json(form->piece(0, event(served, "a", "a", true)), "chunk").value();
  EXPECT_EQ(thought["object"].string(), "chat.completion.chunk");
  EXPECT_EQ(write_json(thought["choices"][0]["delta"]), R"({"content":"","reasoning_content":"a"})");
  EXPECT_TRUE(thought["choices"][0]["finish_reason"].is_null());
  infer::ServedEvent last = event(served, "b", "b");
  last.finish = infer::Finish::eos;
  const Json said = parse_json(form->piece(0, last), "chunk").value();
  EXPECT_EQ(write_json(said["choices"][0]["delta"]), R"({"content":"b","reasoning_content":null})");
  EXPECT_EQ(said["choices"][0]["finish_reason"].string(), "stop");
  EXPECT_EQ(form->piece(0, event(served, "b", "")), "") << "nothing to tell";
}

TEST(ChatAnswers, TheEndOfThinkingIsNotShown) {
  const ServedModel served = model();
  EXPECT_EQ(shown_text(event(served, "</think>", "\xEF\xBF\xBD</think>", true), served), "\xEF\xBF\xBD");
  EXPECT_EQ(shown_text(event(served, ">", "</think>", true), served), "</think>") << "spelt in characters, it ends nothing";
}

TEST(ChatAnswers, LogprobsOfThinkingStandApart) {
  const ServedModel served = model();
  Generation generation;
  generation.logprobs = 0;
  const auto form = chat_form(served, head(), generation, {});
  const Json json = parse_json(form->piece(0, event(served, "a", "a", true)), "chunk").value();
  EXPECT_EQ(write_json(json["choices"][0]["logprobs"]),
            R"({"content":[],"reasoning_content":[{"token":"a","logprob":-0.5,"bytes":[97],"top_logprobs":[]}],"refusal":null})");
}

constexpr const char* call = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{\"a\":1}<｜tool▁call▁end｜><｜tool▁calls▁end｜>";

TEST(ChatAnswers, CallsAreToldAsCalls) {
  ServedModel served = model();
  served.chat_format = text::ChatFormat::v3_1;
  const auto form = chat_form(served, head(), {}, {}, true);
  Choice choice;
  choice.text = std::string("let me see ") + call;
  choice.finish = infer::Finish::eos;
  const Json whole = parse_json(form->whole({choice}, {}), "answer").value()["choices"][0];
  EXPECT_EQ(whole["finish_reason"].string(), "tool_calls");
  EXPECT_EQ(whole["message"]["tool_calls"][0]["function"]["arguments"].string(), "{\"a\":1}");
  // The same, streamed byte by byte.
  std::string arguments, name, finish, id;
  for (std::size_t i = 0; i < choice.text.size(); ++i) {
    infer::ServedEvent each = event(served, "a", choice.text.substr(i, 1));
    if (i + 1 == choice.text.size()) each.finish = infer::Finish::eos;
    const std::string json = form->piece(0, each);
    if (json.empty()) continue;
    const Json chunk = parse_json(json, "chunk").value()["choices"][0];
    if (chunk["finish_reason"].is_string()) finish = chunk["finish_reason"].string();
    const Json* calls = chunk["delta"].find("tool_calls");
    if (calls == nullptr) continue;
    for (const Json& delta : *calls) {
      if (delta.contains("id")) id += delta["id"].string();
      if (delta["function"].contains("name")) name += delta["function"]["name"].string();
      arguments += delta["function"]["arguments"].string();
    }
  }
  EXPECT_EQ(name, "f");
  EXPECT_EQ(arguments, "{\"a\":1}");
  EXPECT_EQ(finish, "tool_calls");
  EXPECT_EQ(id, whole["message"]["tool_calls"][0]["id"].string());
}

TEST(CompletionAnswers, OffsetsCountCharacters) {
  const ServedModel served = model();
  Generation generation;
  generation.logprobs = 1;
  const auto form = completion_form(served, head(), generation, {}, {{1}});
  (void)form->piece(0, event(served, "a", "a"));
  const Json json = parse_json(form->piece(0, event(served, "b", "b")), "chunk").value();
  EXPECT_EQ(json["choices"][0]["logprobs"]["text_offset"][0], Json(1));
  EXPECT_EQ(json["choices"][0]["text"].string(), "b");
}

TEST(CompletionAnswers, EchoStandsInFront) {
  const ServedModel served = model();
  const auto form = completion_form(served, head(), {}, {"once "}, {{1}});
  Choice choice;
  choice.text = "more";
  choice.finish = infer::Finish::length;
  const Json json = parse_json(form->whole({choice}, {.prompt = 3, .cached = 1, .answer = 4}), "answer").value();
  EXPECT_EQ(json["choices"][0]["text"].string(), "once more");
  EXPECT_EQ(json["choices"][0]["finish_reason"].string(), "length");
  EXPECT_EQ(json["usage"]["total_tokens"], Json(7));
  EXPECT_EQ(json["usage"]["prompt_cache_miss_tokens"], Json(2));
  EXPECT_THAT(form->opening(0), HasSubstr("once "));
}

TEST(Metrics, AHistogramAddsUp) {
  Histogram histogram(batch_bounds);
  for (const double value : {0.5, 1.0, 3.0, 1000.0}) histogram.observe(value);
  MetricsText text;
  text.histogram("h", "help", histogram);
  EXPECT_THAT(text.text(), HasSubstr("h_bucket{le=\"1\"} 2\n"));
  EXPECT_THAT(text.text(), HasSubstr("h_bucket{le=\"4\"} 3\n"));
  EXPECT_THAT(text.text(), HasSubstr("h_bucket{le=\"+Inf\"} 4\nh_sum 1004.5\nh_count 4\n"));
}

TEST(Keys, AreLinesOfAFile) {
  EXPECT_FALSE(Keys::parse("# nothing\n\n", "keys").ok());
  const Keys keys = Keys::parse("# mine\none\n  two \r\n", "keys").value();
  EXPECT_EQ(keys.key_of("Bearer one"), "one");
  EXPECT_EQ(keys.key_of("bearer two"), "two");
  for (const char* header : {"", "one", "Bearer ", "Bearer onee", "Bearer # mine", "Basic one"})
    EXPECT_FALSE(keys.key_of(header)) << header;
  EXPECT_EQ(Keys().key_of(""), "");
}

TEST(Keys, OwnersAreKeptApart) {
  EXPECT_NE(owner_of("a", "bc"), owner_of("ab", "c"));
  EXPECT_NE(owner_of("a", ""), owner_of("", ""));
  EXPECT_NE(owner_of("", ""), 0u);
}

}  // namespace
}  // namespace godwit::serve
