// What could go wrong: a resumed run that sees other samples; training on what is kept for validation; a damaged or outdated shard in use.
#include <algorithm>
#include <set>

#include "base/file.h"
#include "data/kinds.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;
using text::Tokenizer;

// Every 6 bytes in a row occur once.
std::string numbered_lines(int begin, int end) {
  std::string text;
  for (int i = begin; i < end; ++i) text += fmt::format("{:05}\n", i);
  return text;
}

class TextDatasetTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Dataset>> open(std::vector<std::filesystem::path> paths, std::int64_t sequence = 16, double validation = 0.1) {
    DataSettings settings;
    settings.kind = "text";
    settings.paths = std::move(paths);
    settings.sequence = sequence;
    settings.validation = validation;
    return open_dataset(settings, options_);
  }
  std::string text_of(const Sample& sample) const { return tokenizer_.decode(sample.ids).value(); }
  std::vector<std::int32_t> ids_of_text(std::string_view text) const {
    auto ids = tokenizer_.encode(text).value();
    ids.push_back(*tokenizer_.eos());
    return ids;
  }
  // Where the sample's ids lie in the text's.
  std::size_t place(const Sample& sample, const std::vector<std::int32_t>& ids) const {
    const auto found = std::search(ids.begin(), ids.end(), sample.ids.begin(), sample.ids.end());
    EXPECT_NE(found, ids.end());
    return static_cast<std::size_t>(found - ids.begin());
  }

  TestFiles files_;
  Tokenizer tokenizer_ = Tokenizer::bytes();
  DatasetOptions options_{
      .seed = 5, .vocab_size = 320, .tokenizer = &tokenizer_, .cache = files_.cache(), .progress = {}, .interrupted = {}};
};

TEST_F(TextDatasetTest, an_epoch_predicts_every_id_once_and_none_of_validation) {
  const std::string text = numbered_lines(0, 1000);
  const auto ids = ids_of_text(text);
  const auto dataset = open({files_.write("a.txt", text)}).value();
  const std::size_t training = 5400;  // floor(0.9 · 6001)
  EXPECT_EQ(dataset->description(), "a.txt: 6,000 bytes, 5,400 tokens to train on, 601 to validate");
  EXPECT_EQ(dataset->predictions_max(), 16);
  const auto count = dataset->samples_per_epoch();
  EXPECT_EQ(count, training / 16 - 1);
  Cursor cursor = dataset->begin();
  std::set<std::size_t> phases;
  for (int epoch = 0; epoch < 8; ++epoch) {
    std::set<std::size_t> places;
    for (const Sample& sample : take(*dataset, cursor, static_cast<std::int64_t>(count))) {
      ASSERT_EQ(sample.predictions(), 16);
      ASSERT_EQ(sample.labelled, std::vector<std::uint8_t>(16, 1));
      places.insert(place(sample, ids));
    }
    ASSERT_EQ(places.size(), count);
    ASSERT_EQ(*places.rbegin() - *places.begin(), (count - 1) * 16);
    ASSERT_LE(*places.rbegin() + 17, training);
    phases.insert(*places.begin());
  }
  EXPECT_GT(phases.size(), 3u);
  EXPECT_EQ(cursor.values, (std::vector<std::uint64_t>{8 * count}));

  std::vector<std::int32_t> validation(ids.begin() + training, ids.begin() + training + 1);
  for (const Sample& sample : validation_of(*dataset)) {
    ASSERT_EQ(sample.ids.front(), validation.back());
    ASSERT_EQ(sample.labelled.size() + 1, sample.ids.size());
    validation.insert(validation.end(), sample.ids.begin() + 1, sample.ids.end());
  }
  EXPECT_EQ(validation, std::vector(ids.begin() + training, ids.end()));
}

TEST_F(TextDatasetTest, a_stream_goes_on_where_its_cursor_says) {
  const auto path = files_.write("a.txt", numbered_lines(0, 300));
  const auto dataset = open({path}).value();
  const auto whole = ids_of(take(*dataset, 500));
  Cursor cursor = dataset->begin();
  auto resumed = ids_of(take(*dataset, cursor, 123));
  const auto again = open({path}).value();
  for (const std::int64_t count : {0, 1, 8, 300, 68}) {
    for (auto& ids : ids_of(take(*again, cursor, count))) resumed.push_back(std::move(ids));
  }
  EXPECT_EQ(resumed, whole);
  EXPECT_EQ(ids_of(validation_of(*again)), ids_of(validation_of(*dataset)));
  options_.seed = 6;
  EXPECT_NE(ids_of(take(*open({path}).value(), 500)), whole);
}

TEST_F(TextDatasetTest, several_sources_are_split_each_and_joined_in_order) {
  const std::string first = numbered_lines(0, 100), second = numbered_lines(100, 150);
  const auto dataset = open({files_.write("a.txt", first), files_.write("b.txt", second)}, 10, 0.5).value();
  EXPECT_THAT(dataset->description(), HasSubstr("a.txt and 1 more: 900 bytes, 450 tokens to train on, 452 to validate"));
  const auto a = ids_of_text(first), b = ids_of_text(second);
  std::vector<std::int32_t> training(a.begin(), a.begin() + 300);
  training.insert(training.end(), b.begin(), b.begin() + 150);
  std::set<std::size_t> places;
  for (const Sample& sample : take(*dataset, 44)) places.insert(place(sample, training));
  EXPECT_EQ(places.size(), 44u);
  std::vector<std::int32_t> validation(a.begin() + 300, a.end());
  validation.insert(validation.end(), b.begin() + 150, b.end());
  EXPECT_EQ(dataset->validation(29).value().ids, std::vector(validation.begin() + 290, validation.begin() + 301));
  EXPECT_EQ(dataset->validation(30).value().ids, std::vector(validation.begin() + 300, validation.begin() + 311));
}

TEST_F(TextDatasetTest, the_last_validation_sample_takes_what_is_left) {
  const auto path = files_.write("a.txt", std::string(99, 'a'));  // 100 ids
  EXPECT_EQ(open({path}, 16, 0).value()->validation_count(), 0);
  EXPECT_EQ(open({path}, 16, 0.01).value()->validation_count(), 0);  // one id: nothing to predict
  const auto two = open({path}, 16, 0.02).value();
  EXPECT_EQ(two->validation_count(), 1);
  EXPECT_EQ(two->validation(0).value().predictions(), 1);
  const auto exact = open({path}, 16, 0.33).value();
  EXPECT_EQ(exact->validation_count(), 2);
  EXPECT_EQ(exact->validation(1).value().predictions(), 16);
  EXPECT_EQ(open({path}, 16, 0.34).value()->validation_count(), 3);
}

TEST_F(TextDatasetTest, a_text_too_short_is_refused_with_both_figures) {
  EXPECT_THAT(message(open({files_.write("a.txt", "")})), HasSubstr("a.txt: there is no text in it (0 bytes)"));
  EXPECT_THAT(message(open({files_.write("a.jsonl", "\n{\"text\": \"\"}\n")})), HasSubstr("there is no text in it"));
  const auto path = files_.write("a.txt", std::string(15, 'a'));
  const auto error = message(open({path}, 16, 0));
  EXPECT_THAT(error, HasSubstr("16 tokens to train on"));
  EXPECT_THAT(error, HasSubstr("16 predictions needs 17"));
  const auto shortest = open({files_.write("a.txt", std::string(16, 'a'))}, 16, 0).value();
  EXPECT_EQ(shortest->samples_per_epoch(), 1u);
  EXPECT_EQ(take(*shortest, 3)[2].ids, ids_of_text(std::string(16, 'a')));
}

TEST_F(TextDatasetTest, a_tokenizer_that_does_not_fit_is_refused) {
  const auto path = files_.write("a.txt", numbered_lines(0, 100));
  options_.vocab_size = 20;
  EXPECT_THAT(message(open({path})), HasSubstr("vocab_size is 20"));
  options_.vocab_size = 320;
  Json file = parse_json(tokenizer_.json(), "tokenizer.json").value();
  std::string json = write_json(file);
  for (std::size_t at; (at = json.find("<｜end▁of▁sentence｜>")) != std::string::npos;)
    json.replace(at, std::string_view("<｜end▁of▁sentence｜>").size(), "<other>");
  const Tokenizer without = Tokenizer::from_json(json, "tokenizer.json").value();
  options_.tokenizer = &without;
  EXPECT_THAT(message(open({path})), HasSubstr("the tokenizer has none"));
  options_.tokenizer = nullptr;
  EXPECT_THAT(message(open({path})), HasSubstr("needs a tokenizer"));
}

TEST_F(TextDatasetTest, shards_are_made_once_and_used_while_they_are_good) {
  const auto path = files_.write("a.txt", numbered_lines(0, 300));
  std::vector<double> shares;
  options_.progress = [&](double share) { shares.push_back(share); };
  const auto first = open({path}).value();
  EXPECT_FALSE(shares.empty());
  EXPECT_EQ(shares.back(), 1.0);
  const auto made = files_.shards();
  ASSERT_EQ(made.size(), 1u);
  const std::string good = TestFiles::read(made[0]);

  shares.clear();
  files_.write("cache/.a.tokens.1.1.tmp", "what a crashed process left");
  const auto second = open({path}, 20).value();  // the same ids in other windows
  EXPECT_TRUE(shares.empty());
  EXPECT_EQ(files_.shards(), made);

  std::filesystem::rename(path, path.parent_path() / "moved.txt");
  EXPECT_EQ(open({path.parent_path() / "moved.txt"}).value()->digest(), first->digest());
  EXPECT_TRUE(shares.empty());
  std::filesystem::rename(path.parent_path() / "moved.txt", path);

  for (const std::size_t at : {std::size_t{0}, std::size_t{500}, good.size() - 1}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 16);
    files_.write("cache/" + made[0].filename().string(), bad);
    shares.clear();
    testing::internal::CaptureStderr();
    const auto rebuilt = open({path}).value();
    EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("made again from"));
    EXPECT_FALSE(shares.empty());
    EXPECT_EQ(TestFiles::read(made[0]), good);
    EXPECT_EQ(ids_of(take(*rebuilt, 50)), ids_of(take(*first, 50)));
  }
}

TEST_F(TextDatasetTest, a_shard_damaged_in_use_gives_no_sample_and_is_made_again) {
  const std::string text = numbered_lines(0, 300);
  const auto path = files_.write("a.txt", text);
  const auto dataset = open({path}).value();
  const auto wanted = ids_of(take(*dataset, 50));
  const auto shard = files_.shards().at(0);
  const std::string good = TestFiles::read(shard);
  EXPECT_EQ(dataset->repair(options_).value(), "") << "nothing is to be repaired";

  std::string bad = good;
  bad[500] = static_cast<char>(bad[500] ^ 16);
  for (const std::string& damaged : {bad, good.substr(0, good.size() / 2), std::string()}) {
    files_.write("cache/" + shard.filename().string(), damaged);
    Cursor cursor = dataset->begin();
    const auto refused = dataset->next(cursor, 50);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().kind, ErrorKind::differs);
    EXPECT_EQ(cursor, dataset->begin()) << "a cursor that moved without its samples";
    EXPECT_FALSE(dataset->validation(0).ok());
    EXPECT_THAT(dataset->repair(options_).value(), HasSubstr("it was made again from " + path.string()));
    EXPECT_EQ(TestFiles::read(shard), good);
    EXPECT_EQ(ids_of(take(*dataset, 50)), wanted);
  }
}

TEST_F(TextDatasetTest, a_shard_is_never_made_again_from_another_file) {
  const std::string text = numbered_lines(0, 300);
  const auto path = files_.write("a.txt", text);
  const auto dataset = open({path}).value();
  ASSERT_EQ(dataset->files().size(), 1u);
  EXPECT_EQ(dataset->files()[0].digest, sha256(as_bytes(text)));
  const auto wanted = ids_of(take(*dataset, 50));
  std::filesystem::remove(files_.shards().at(0));

  std::string changed = text;
  changed[700] = 'x';
  files_.write("a.txt", changed);
  const auto refused = dataset->repair(options_);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::world) << "its owner can put it back";
  EXPECT_THAT(message(refused), HasSubstr(path.string() + " now has 1800 bytes, SHA-256 " + hex(sha256(as_bytes(changed)))));
  EXPECT_THAT(message(refused), HasSubstr("began with a file of 1800 bytes, SHA-256 " + hex(sha256(as_bytes(text)))));
  EXPECT_TRUE(files_.shards().empty());
  std::filesystem::remove(path);
  EXPECT_THAT(message(dataset->repair(options_)), HasSubstr("there is no such file"));

  files_.write("a.txt", text);
  EXPECT_TRUE(dataset->repair(options_).ok());
  EXPECT_EQ(ids_of(take(*dataset, 50)), wanted);
}

TEST_F(TextDatasetTest, another_content_tokenizer_or_setting_is_another_digest) {
  const std::string text = numbered_lines(0, 300);
  const auto path = files_.write("a.txt", text);
  const auto digest = open({path}).value()->digest();
  EXPECT_EQ(open({files_.write("b.txt", text)}).value()->digest(), digest);
  EXPECT_NE(open({path}, 17).value()->digest(), digest);
  EXPECT_NE(open({path}, 16, 0.2).value()->digest(), digest);
  EXPECT_NE(open({path, path}).value()->digest(), digest);
  std::string changed = text;
  changed[700] = 'x';
  const auto before = ids_of(take(*open({path}).value(), 100));
  const auto other = open({files_.write("a.txt", changed)}).value();
  EXPECT_NE(other->digest(), digest);
  EXPECT_NE(ids_of(take(*other, 100)), before);
  files_.write("a.txt", text);
  const Tokenizer again = Tokenizer::from_json(tokenizer_.json() + " ", "tokenizer.json").value();
  options_.tokenizer = &again;
  EXPECT_NE(open({path}).value()->digest(), digest);
}

TEST_F(TextDatasetTest, bytes_per_token_count_the_text_and_not_the_control_tokens) {
  std::string lines;
  for (int i = 0; i < 10; ++i) lines += "{\"text\": \"abc\"}\n";  // abc EOS, ten times
  EXPECT_EQ(open({files_.write("a.jsonl", lines)}, 4, 0.5).value()->bytes_per_token(), 14.0 / 19.0);
  EXPECT_EQ(open({files_.write("a.jsonl", lines)}, 4, 0).value()->bytes_per_token(), std::nullopt);
}

}  // namespace
}  // namespace godwit::data
