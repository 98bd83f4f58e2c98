// What could go wrong: the prompt a model was trained on and the one it is served with differ by a token.
#include "text/chat.h"

#include <gtest/gtest.h>

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
