// What could go wrong: a question learned as if it were an answer; a conversation that reads another way beside others; one that is cut, or
// lost, and nobody is told.
#include <algorithm>
#include <map>
#include <set>

#include "data/kinds.h"
#include "data/test_files.h"
#include "text/chat.h"
#include "text/special_tokens.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

std::string conversation(std::string_view question, std::string_view answer) {
  return fmt::format(R"({{"messages": [{{"role": "user", "content": "{}"}}, {{"role": "assistant", "content": "{}"}}]}})"
                     "\n",
                     question, answer);
}

class ChatDatasetTest : public testing::Test {
 protected:
  DataSettings chat(std::string_view lines, double validation = 0) {
    DataSettings settings;
    settings.kind = "chat";
    settings.paths = {files_.write("chat.jsonl", lines)};
    settings.validation = validation;
    return settings;
  }
  Result<std::unique_ptr<Dataset>> open(const DataSettings& settings) { return open_dataset(settings, options_); }
  Result<std::unique_ptr<Dataset>> open(std::string_view lines) { return open(chat(lines)); }
  // What is learned in brackets.
  std::string text(const Sample& sample) {
    std::string text;
    for (std::size_t i = 0; i < sample.ids.size(); ++i) {
      const bool now = i > 0 && sample.labelled[i - 1] != 0, before = i > 1 && sample.labelled[i - 2] != 0;
      if (now != before) text += now ? "[" : "]";
      text += tokenizer_.token_bytes(sample.ids[i]);
    }
    return text + (sample.labelled.back() != 0 ? "]" : "");
  }

  TestFiles files_;
  text::Tokenizer tokenizer_ = text::Tokenizer::bytes();
  DatasetOptions options_{.seed = 3, .vocab_size = 320, .tokenizer = &tokenizer_, .cache = {}, .progress = {}, .interrupted = {}};
};

TEST_F(ChatDatasetTest, answers_are_learned_and_nothing_else) {
  const auto dataset = open(R"({"messages": [{"role": "system", "content": "Be <think>."}, {"role": "user", "content": "1+1?"}, )"
                            R"({"role": "assistant", "content": "2"}, {"role": "user", "content": "2+2?"}, )"
                            R"({"role": "assistant", "content": "<think>two twos</think>4"}]})");
  ASSERT_TRUE(dataset.ok()) << message(dataset);
  const auto samples = take(**dataset, 1);
  EXPECT_EQ(
      text(samples[0]),
      "<｜begin▁of▁sentence｜>Be <think>.<｜User｜>1+1?<｜Assistant｜></think>[2<｜end▁of▁sentence｜>]<｜User｜>2+2?<｜Assistant｜><think>"
      "[two twos</think>4<｜end▁of▁sentence｜>]");
  // What a user writes is text, not control tokens.
  EXPECT_EQ(std::ranges::count(samples[0].ids, *tokenizer_.token_id("<think>")), 1);
  EXPECT_EQ(samples[0].labelled.size() + 1, samples[0].ids.size());
  EXPECT_EQ((*dataset)->predictions_max(), samples[0].predictions());
  EXPECT_EQ((*dataset)->bytes_per_token(), std::nullopt);
}

TEST_F(ChatDatasetTest, ids_before_an_answer_are_those_of_its_prompt) {
  const auto dataset = open(conversation("Why?", "<think>hm</think>So.")).value();
  const Sample sample = take(*dataset, 1)[0];
  const auto prompt = tokenizer_.encode(text::render_chat(text::ChatFormat::v3_1, {{"user", "Why?"}}).value()).value();
  ASSERT_LT(prompt.size(), sample.ids.size());
  EXPECT_TRUE(std::equal(prompt.begin(), prompt.end(), sample.ids.begin()));
  EXPECT_EQ(std::ranges::find(sample.labelled, 1) - sample.labelled.begin() + 1, static_cast<std::ptrdiff_t>(prompt.size()));
}

TEST_F(ChatDatasetTest, problems_are_conversations_too) {
  const auto dataset =
      open("{\"question\": \"3*4?\", \"answer\": \"3*4 = <<3*4=12>>12\\n#### 12\"}\n\n{\"question\": \"5?\", \"answer\": 5}\n").value();
  std::set<std::string> texts;
  for (const Sample& sample : take(*dataset, 2)) texts.insert(text(sample));
  EXPECT_EQ(texts,
            (std::set<std::string>{"<｜begin▁of▁sentence｜><｜User｜>3*4?<｜Assistant｜><think>[3*4 = 12</think>12<｜end▁of▁sentence｜>]",
                                   "<｜begin▁of▁sentence｜><｜User｜>5?<｜Assistant｜></think>[5<｜end▁of▁sentence｜>]"}));
}

TEST_F(ChatDatasetTest, a_conversation_is_the_same_whatever_its_neighbours) {
  std::string lines;
  for (int i = 0; i < 20; ++i)
    lines += conversation("q" + std::string(static_cast<std::size_t>(i), 'x'), fmt::format("<think>t</think>{}", i));
  const auto together = open(lines).value();
  std::map<std::string, Sample> by_text;
  for (const Sample& sample : take(*together, 20)) by_text[text(sample)] = sample;
  ASSERT_EQ(by_text.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    const auto alone =
        open(conversation("q" + std::string(static_cast<std::size_t>(i), 'x'), fmt::format("<think>t</think>{}", i))).value();
    const Sample sample = take(*alone, 1)[0];
    ASSERT_TRUE(by_text.contains(text(sample)));
    EXPECT_EQ(by_text[text(sample)].ids, sample.ids);
    EXPECT_EQ(by_text[text(sample)].labelled, sample.labelled);
  }
}

TEST_F(ChatDatasetTest, every_epoch_has_an_order_of_its_own_and_the_last_validate) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += conversation("q", fmt::format("{}", i));
  const auto dataset = open(chat(lines, 0.2)).value();
  EXPECT_EQ(dataset->samples_per_epoch(), 8u);
  EXPECT_EQ(dataset->validation_count(), 2);
  EXPECT_THAT(text(dataset->validation(0).value()), HasSubstr("[8<"));
  EXPECT_THAT(text(dataset->validation(1).value()), HasSubstr("[9<"));
  Cursor cursor = dataset->begin();
  const auto first = ids_of(take(*dataset, cursor, 8)), second = ids_of(take(*dataset, cursor, 8));
  EXPECT_NE(first, second);
  EXPECT_EQ(std::set(first.begin(), first.end()), std::set(second.begin(), second.end()));
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 8u);
  // A stream goes on where its cursor says, cut anywhere.
  Cursor again = dataset->begin();
  auto pieces = ids_of(take(*dataset, again, 5));
  for (const auto& ids : ids_of(take(*dataset, again, 3))) pieces.push_back(ids);
  EXPECT_EQ(pieces, first);
  EXPECT_NE(dataset->digest(), open(chat(lines, 0.3)).value()->digest());
  EXPECT_NE(dataset->digest(), open(chat(lines + conversation("q", "x"), 0.2)).value()->digest());
  EXPECT_EQ(dataset->digest(), open(chat(lines, 0.2)).value()->digest());
}

TEST_F(ChatDatasetTest, what_is_too_long_is_refused_cut_or_left_out_as_asked) {
  // Predictions: user, "q", assistant, </think>, the answer, EOS.
  const std::string lines =
      conversation("q", "1234") + conversation("q", "12345678") + conversation("qqqqqqqqqqqq", "1") + conversation("q", "123456");
  DataSettings settings = chat(lines);
  settings.sequence = 9;
  EXPECT_THAT(message(open(settings)),
              HasSubstr("chat.jsonl:2: the conversation has 13 predictions, [data] sequence allows 9, and so it is with 3 in all, of 17 at "
                        "most; set sequence = 17, or too_long = \"skip\" or \"cut\""));
  settings.too_long = "skip";
  EXPECT_EQ(open(settings).value()->description(),
            "chat.jsonl: 1 conversations to train on, 0 to validate, of 10 tokens on average and 9 predictions at most; 3 left out for "
            "their length");
  settings.too_long = "cut";
  const auto cut = open(settings).value();
  EXPECT_THAT(cut->description(), HasSubstr("3 conversations to train on"));
  EXPECT_THAT(cut->description(), HasSubstr("; 2 cut for their length; 1 left out for their length"));
  std::multiset<std::string> texts;
  for (const Sample& sample : take(*cut, 3)) texts.insert(text(sample));
  const std::string before = "<｜begin▁of▁sentence｜><｜User｜>q<｜Assistant｜></think>[";
  EXPECT_EQ(texts, (std::multiset<std::string>{before + "1234<｜end▁of▁sentence｜>]", before + "12345]", before + "12345]"}));
  settings.sequence = 3;
  EXPECT_THAT(message(open(settings)), HasSubstr("0 conversations are left (4 were left out for their length"));
}

TEST_F(ChatDatasetTest, a_broken_line_is_named) {
  const std::string good = conversation("q", "a");
  const auto error = [&](std::string_view line) { return message(open(good + std::string(line))); };
  EXPECT_THAT(error("{\"messages\": ["), HasSubstr("chat.jsonl:2"));
  EXPECT_THAT(error("[1]"), HasSubstr("chat.jsonl:2: is array, an object is wanted"));
  EXPECT_THAT(error("{\"text\": \"a\"}"), HasSubstr("chat.jsonl:2: has neither \"messages\" nor \"question\""));
  EXPECT_THAT(error("{\"question\": \"a\"}"), HasSubstr("chat.jsonl:2: has no \"answer\""));
  EXPECT_THAT(error("{\"messages\": \"a\"}"), HasSubstr("\"messages\" is string, a list is wanted"));
  EXPECT_THAT(error("{\"messages\": []}"), HasSubstr("chat.jsonl:2: there is no answer of an assistant"));
  EXPECT_THAT(error("{\"messages\": [7]}"), HasSubstr("chat.jsonl:2: messages[0] is number"));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"user\"}]}"), HasSubstr("messages[0] has no \"content\""));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"user\", \"content\": null}]}"), HasSubstr("messages[0]: \"content\" is null"));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"bot\", \"content\": \"a\"}]}"), HasSubstr("messages[0] has the role bot"));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}"), HasSubstr("has no answer to learn"));
  EXPECT_THAT(error("{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\", \"reasoning_content\": \"b\"}]}"),
              HasSubstr("has \"reasoning_content\", which is not learned"));
  EXPECT_THAT(message(open("")), HasSubstr("0 conversations are left"));
}

TEST_F(ChatDatasetTest, lines_without_a_conversation_are_passed_over_and_counted) {
  const auto dataset = open(conversation("q", "a") + "{\"question\": \"q\", \"answer\": \"a\", \"messages\": null}\n").value();
  EXPECT_EQ(dataset->samples_per_epoch(), 1u);
  EXPECT_THAT(dataset->description(), HasSubstr("; 1 lines had none"));
}

TEST_F(ChatDatasetTest, a_tokenizer_that_cannot_chat_is_named) {
  const DataSettings settings = chat(conversation("q", "a"));
  options_.tokenizer = nullptr;
  EXPECT_THAT(message(open(settings)), HasSubstr("kind \"chat\" needs a tokenizer"));
  const auto bare = text::Tokenizer::from_json(tokenizer_.json(), "bare");
  ASSERT_TRUE(bare.ok());
  options_.tokenizer = &*bare;
  EXPECT_THAT(message(open(settings)), HasSubstr("DeepSeek's chat template, and this one's is missing"));
  options_.tokenizer = &tokenizer_;
  options_.vocab_size = 100;
  EXPECT_THAT(message(open(settings)), HasSubstr("vocab_size is 100"));
}

}  // namespace
}  // namespace godwit::data
