// What could go wrong: parts out of their own order, shares that are not the weights', a cursor that forgets a part.
#include <cmath>

#include "data/kinds.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

class MixDatasetTest : public testing::Test {
 protected:
  DataSettings part(std::string_view name, std::string_view json, double weight, double validation = 0) {
    DataSettings settings;
    settings.kind = "ids";
    settings.paths = {files_.write(name, json)};
    settings.weight = weight;
    settings.validation = validation;
    return settings;
  }
  DataSettings text(std::string_view name, std::string_view content, double weight, std::int64_t sequence, double validation) {
    DataSettings settings = part(name, content, weight, validation);
    settings.kind = "text";
    settings.sequence = sequence;
    return settings;
  }
  std::unique_ptr<Dataset> mix(std::vector<DataSettings> parts) {
    DataSettings settings;
    settings.kind = "mix";
    settings.parts = std::move(parts);
    return open_dataset(settings, options_).value();
  }
  TestFiles files_;
  text::Tokenizer tokenizer_ = text::Tokenizer::bytes();
  DatasetOptions options_{
      .seed = 9, .vocab_size = 320, .tokenizer = &tokenizer_, .cache = files_.cache(), .progress = {}, .interrupted = {}};
};

constexpr std::string_view tens = "[[10,11],[12,13],[14,15]]";
constexpr std::string_view twenties = "[[20,21,22],[23,24,25]]";

TEST_F(MixDatasetTest, parts_have_the_shares_of_their_weights) {
  const auto dataset = mix({part("a.json", tens, 1), part("b.json", twenties, 5), part("c.json", "[[30,31]]", 2)});
  EXPECT_EQ(dataset->predictions_max(), 2);
  EXPECT_EQ(dataset->samples_per_epoch(), 6u);
  Cursor cursor = dataset->begin();
  EXPECT_EQ(cursor.values, (std::vector<std::uint64_t>{0, 0, 0, 0}));
  const std::int64_t count = 20000;
  std::vector<std::uint64_t> drawn(3);
  for (const Sample& sample : take(*dataset, cursor, count)) ++drawn[static_cast<std::size_t>(sample.ids[0] / 10 - 1)];
  EXPECT_EQ(cursor.values, (std::vector<std::uint64_t>{static_cast<std::uint64_t>(count), drawn[0], drawn[1], drawn[2]}));
  const std::vector<double> shares{1.0 / 8, 5.0 / 8, 2.0 / 8};
  for (std::size_t i = 0; i < 3; ++i) {
    const double sigma = std::sqrt(count * shares[i] * (1 - shares[i]));
    EXPECT_NEAR(static_cast<double>(drawn[i]), count * shares[i], 4 * sigma);
  }
}

TEST_F(MixDatasetTest, each_part_keeps_its_own_order) {
  std::string content;
  for (int i = 0; i < 300; ++i) content += fmt::format("{:04}\n", i);
  const auto alone = open_dataset(text("a.txt", content, 1, 12, 0), options_).value();
  const auto dataset = mix({text("a.txt", content, 2, 12, 0), part("b.json", twenties, 1)});
  EXPECT_EQ(dataset->predictions_max(), 12);
  std::vector<std::vector<std::int32_t>> of_text, of_rows;
  for (const auto& ids : ids_of(take(*dataset, 600))) (ids.size() == 13 ? of_text : of_rows).push_back(ids);
  EXPECT_EQ(of_text, ids_of(take(*alone, static_cast<std::int64_t>(of_text.size()))));
  ASSERT_GT(of_rows.size(), 100u);
  for (std::size_t i = 0; i < of_rows.size(); ++i) {
    ASSERT_EQ(of_rows[i], i % 2 ? (std::vector{23, 24, 25}) : (std::vector{20, 21, 22}));
  }
}

TEST_F(MixDatasetTest, a_stream_goes_on_where_its_cursor_says) {
  const auto open = [&] { return mix({part("a.json", tens, 1), part("b.json", twenties, 0.7)}); };
  const auto whole = ids_of(take(*open(), 400));
  const auto first = open();
  Cursor cursor = first->begin();
  auto resumed = ids_of(take(*first, cursor, 111));
  for (const auto& ids : ids_of(take(*open(), cursor, 289))) resumed.push_back(ids);
  EXPECT_EQ(resumed, whole);
  options_.seed = 10;
  EXPECT_NE(ids_of(take(*open(), 400)), whole);
}

TEST_F(MixDatasetTest, validation_is_that_of_the_parts_in_order) {
  const auto dataset = mix({part("a.json", tens, 1, 0.5), part("b.json", twenties, 1), part("c.json", twenties, 1, 0.5)});
  EXPECT_EQ(ids_of(validation_of(*dataset)), (std::vector<std::vector<std::int32_t>>{{12, 13}, {14, 15}, {23, 24, 25}}));
  EXPECT_EQ(dataset->bytes_per_token(), std::nullopt);
}

TEST_F(MixDatasetTest, bytes_per_token_weigh_the_parts_by_their_predictions) {
  // 19 predictions of 19 bytes (EOS is the last and has none), and 9 of 8; rows without validation do not matter.
  const std::string lines = "{\"text\": \"" + std::string(39, 'a') + "\"}";
  const auto dataset = mix({text("a.jsonl", lines, 1, 5, 0.5), text("b.txt", std::string(19, 'b'), 3, 4, 0.5), part("c.json", tens, 1)});
  EXPECT_DOUBLE_EQ(dataset->bytes_per_token().value(), (18.0 + 8.0) / (19.0 + 9.0));
}

TEST_F(MixDatasetTest, weights_and_parts_are_in_the_digest) {
  const auto digest = mix({part("a.json", tens, 1), part("b.json", twenties, 2)})->digest();
  EXPECT_EQ(mix({part("c.json", tens, 1), part("d.json", twenties, 2)})->digest(), digest);
  EXPECT_NE(mix({part("a.json", tens, 1), part("b.json", twenties, 3)})->digest(), digest);
  EXPECT_NE(mix({part("b.json", twenties, 2), part("a.json", tens, 1)})->digest(), digest);
  EXPECT_NE(mix({part("a.json", tens, 1), part("b.json", "[[1,2,3]]", 2)})->digest(), digest);
}

TEST_F(MixDatasetTest, the_choices_are_pinned) {
  const auto dataset = mix({part("a.json", "[[0,0]]", 1), part("b.json", "[[1,1]]", 1)});
  std::string choices;
  for (const Sample& sample : take(*dataset, 16)) choices += static_cast<char>('0' + sample.ids[0]);
  EXPECT_EQ(choices, "0101111010000011");
}

}  // namespace
}  // namespace godwit::data
