// What could go wrong: a stream that is not the same after a stop; training on what validates; a document longer than its place.
#include <algorithm>

#include "data/document.h"
#include "data/kinds.h"
#include "data/problems.h"
#include "data/test_files.h"
#include "text/special_tokens.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;

class TaskDatasetTest : public testing::Test {
 protected:
  static DataSettings task(std::string name, Json task_options = Json()) {
    DataSettings settings;
    settings.kind = "task";
    settings.task = std::move(name);
    settings.options = std::move(task_options);
    return settings;
  }
  std::unique_ptr<Dataset> open(const DataSettings& settings) { return open_dataset(settings, options_).value(); }
  std::string text(const Sample& sample) { return tokenizer_.decode(sample.ids).value(); }

  TestFiles files_;
  text::Tokenizer tokenizer_ = text::Tokenizer::characters();
  DatasetOptions options_{
      .seed = 9, .vocab_size = 64, .tokenizer = &tokenizer_, .cache = files_.cache(), .progress = {}, .interrupted = {}};
};

TEST_F(TaskDatasetTest, samples_are_documents_in_the_order_of_their_problems) {
  const auto dataset = open(task("parity", {{"bits", 4}, {"long", 0.5}}));
  const auto problems = open_problems({.name = "parity", .options = {{"bits", 4}}, .seed = 9, .place = "test"}).value();
  const auto samples = take(*dataset, 100);
  for (std::uint64_t i = 0; i < 100; ++i) {
    const Problem problem = problems->problem(Split::training, i);
    const std::string chain = i % 2 == 1 ? problem.chain : "";
    EXPECT_EQ(text(samples[i]), problem.prompt + "<think>" + chain + "</think>" + problem.truth + std::string(text::eos_token));
    EXPECT_EQ(std::ranges::count(samples[i].labelled, 0), 5);
    EXPECT_EQ(samples[i].labelled.size() + 1, samples[i].ids.size());
  }
  EXPECT_EQ(dataset->predictions_max(), 4 + 1 + 4 + 1 + 3 - 1);
  EXPECT_EQ(dataset->samples_per_epoch(), 0u);
  EXPECT_EQ(dataset->validation_count(), 256);
  EXPECT_EQ(dataset->bytes_per_token(), std::nullopt);
  EXPECT_TRUE(dataset->files().empty());
  EXPECT_EQ(text(dataset->validation(0).value()).substr(0, 5), problems->problem(Split::evaluation, 0).prompt);
  EXPECT_EQ(dataset->description(),
            "parity, bits 4, long 0.5: documents of at most 12 predictions, as many as asked for to train on, 256 to validate");
}

TEST_F(TaskDatasetTest, a_stream_goes_on_where_its_cursor_says) {
  const auto settings = task("chain_sum", {{"long", 0.2}});
  const auto whole = ids_of(take(*open(settings), 200));
  const auto first = open(settings);
  Cursor cursor = first->begin();
  auto resumed = ids_of(take(*first, cursor, 77));
  EXPECT_EQ(cursor.values, std::vector<std::uint64_t>{77});
  for (const auto& ids : ids_of(take(*open(settings), cursor, 123))) resumed.push_back(ids);
  EXPECT_EQ(resumed, whole);
  EXPECT_EQ(std::ranges::count_if(whole, [](const auto& ids) { return ids.size() > 16; }), 40);
}

TEST_F(TaskDatasetTest, every_task_fits_its_own_promise_and_both_tokenizers) {
  const text::Tokenizer bytes = text::Tokenizer::bytes();
  for (const Task* each : all_tasks()) {
    for (const text::Tokenizer* tokenizer : std::vector<const text::Tokenizer*>{&tokenizer_, &bytes}) {
      options_.tokenizer = tokenizer;
      options_.vocab_size = tokenizer->vocab_size();
      auto settings = task(std::string(each->name));
      settings.validation_count = 3;
      const auto dataset = open(settings);
      for (const Sample& sample : take(*dataset, 500)) EXPECT_LE(sample.predictions(), dataset->predictions_max()) << each->name;
      EXPECT_EQ(validation_of(*dataset).size(), 3u);
    }
  }
}

TEST_F(TaskDatasetTest, a_file_of_problems_wraps_and_keeps_what_is_held_out) {
  std::string lines;
  for (int i = 0; i < 4; ++i) lines += fmt::format("{{\"question\": \"q{}\", \"answer\": \"because\\n#### {}\"}}\n", i, i);
  const auto file = files_.write("mine.jsonl", lines).string();
  const auto dataset = open(task(file, {{"held_out", 1}, {"long", 0.5}}));
  std::vector<std::string> texts;
  for (const Sample& sample : take(*dataset, 6)) texts.push_back(text(sample).substr(0, text(sample).find(text::eos_token)));
  EXPECT_THAT(texts, testing::ElementsAre("q0<think></think>0", "q1<think>because</think>1", "q2<think></think>2",
                                          "q0<think>because</think>0", "q1<think></think>1", "q2<think>because</think>2"));
  EXPECT_EQ(dataset->samples_per_epoch(), 3u);
  EXPECT_EQ(dataset->validation_count(), 1);
  EXPECT_EQ(text(dataset->validation(0).value()).substr(0, 2), "q3");
  EXPECT_EQ(dataset->predictions_max(), 2 + 7 + 1 + 3 - 1);
  EXPECT_EQ(open(task(file))->validation_count(), 0);
  DataSettings settings = task(file);
  settings.validation_count = 5;
  EXPECT_THAT(message(open_dataset(settings, options_)), HasSubstr("no problem of " + file + " is held out"));
}

TEST_F(TaskDatasetTest, tasks_are_parts_of_a_mix) {
  DataSettings mix;
  mix.kind = "mix";
  mix.parts = {task("parity"), task("gcd")};
  mix.parts[0].weight = 3;
  mix.parts[1].validation_count = 10;
  const auto dataset = open(mix);
  EXPECT_EQ(dataset->validation_count(), 266);
  std::int64_t of_parity = 0;
  for (const Sample& sample : take(*dataset, 400)) of_parity += text(sample).starts_with("gcd") ? 0 : 1;
  EXPECT_NEAR(static_cast<double>(of_parity), 300, 40);
}

TEST_F(TaskDatasetTest, what_determines_the_samples_is_in_the_digest) {
  const Digest digest = open(task("parity"))->digest();
  EXPECT_EQ(open(task("parity", {{"bits", 16}}))->digest(), digest);
  EXPECT_NE(open(task("parity", {{"bits", 8}}))->digest(), digest);
  EXPECT_NE(open(task("gcd"))->digest(), digest);
  auto fewer = task("parity");
  fewer.validation_count = 8;
  EXPECT_NE(open(fewer)->digest(), digest);
  const text::Tokenizer bytes = text::Tokenizer::bytes();
  options_.tokenizer = &bytes;
  options_.vocab_size = 320;
  EXPECT_NE(open(task("parity"))->digest(), digest);
}

TEST_F(TaskDatasetTest, what_does_not_fit_is_named) {
  const auto error = [&](const DataSettings& settings) { return message(open_dataset(settings, options_)); };
  EXPECT_EQ(error(task("party")), "[data] task: there is no task 'party'; did you mean parity?");
  EXPECT_THAT(error(task("parity", {{"bit", 3}})), HasSubstr("[data] task: parity: there is no option bit; did you mean bits?"));
  const auto file = files_.write("mine.jsonl", "{\"question\": \"What?\", \"answer\": \"1\"}\n").string();
  EXPECT_THAT(error(task(file)), HasSubstr("mine.jsonl\": 'W' (U+0057) at line 1, column 1 of the text is not one of"));
  const auto second =
      files_.write("two.jsonl", "{\"question\": \"a\", \"answer\": \"1\"}\n{\"question\": \"bB\", \"answer\": \"1\"}\n").string();
  EXPECT_THAT(error(task(second)), HasSubstr("the problem \"bB\": 'B' (U+0042)"));
  options_.vocab_size = 63;
  EXPECT_THAT(error(task("parity")), HasSubstr("the tokenizer has 64 tokens, the model's vocab_size is 63"));
  options_.tokenizer = nullptr;
  EXPECT_THAT(error(task("parity")), HasSubstr("needs a tokenizer"));
}

}  // namespace
}  // namespace godwit::data
