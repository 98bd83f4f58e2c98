// What could go wrong: an id outside the vocabulary that reaches an embedding; rows skipped at the wrap.
#include "data/kinds.h"
#include "data/test_files.h"

namespace godwit::data {
namespace {

using testing::HasSubstr;
using Rows = std::vector<std::vector<std::int32_t>>;

class IdsDatasetTest : public testing::Test {
 protected:
  Result<std::unique_ptr<Dataset>> open(std::string_view json, double validation = 0) {
    DataSettings settings;
    settings.kind = "ids";
    settings.paths = {files_.write("rows.json", json)};
    settings.validation = validation;
    DatasetOptions options;
    options.vocab_size = 10;
    return open_dataset(settings, options);
  }
  TestFiles files_;
};

TEST_F(IdsDatasetTest, rows_come_in_order_and_wrap) {
  const auto dataset = open("[[0,1,2],[3,4,5],[9,9,9]]").value();
  EXPECT_EQ(dataset->predictions_max(), 2);
  EXPECT_EQ(dataset->samples_per_epoch(), 3u);
  EXPECT_EQ(dataset->validation_count(), 0);
  EXPECT_EQ(dataset->bytes_per_token(), std::nullopt);
  Cursor cursor = dataset->begin();
  const auto first = take(*dataset, cursor, 2), second = take(*dataset, cursor, 3);
  EXPECT_EQ(ids_of(first), (Rows{{0, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(ids_of(second), (Rows{{9, 9, 9}, {0, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(first[0].labelled, (std::vector<std::uint8_t>{1, 1}));
  EXPECT_EQ(cursor.values, (std::vector<std::uint64_t>{5}));
  EXPECT_EQ(dataset->description(), "rows.json: rows of 3 ids, 3 to train on, 0 to validate");
}

TEST_F(IdsDatasetTest, the_last_rows_validate_if_asked) {
  const auto dataset = open("[[0,1],[2,3],[4,5],[6,7]]", 0.5).value();
  EXPECT_EQ(ids_of(take(*dataset, 3)), (Rows{{0, 1}, {2, 3}, {0, 1}}));
  EXPECT_EQ(ids_of(validation_of(*dataset)), (Rows{{4, 5}, {6, 7}}));
  EXPECT_THAT(message(open("[[0,1]]", 0.5)), HasSubstr("has 1 rows, and validation = 0.5 leaves none"));
  EXPECT_NE(dataset->digest(), open("[[0,1],[2,3],[4,5],[6,7]]", 0.25).value()->digest());
  EXPECT_NE(dataset->digest(), open("[[0,1],[2,3],[4,5],[6,8]]", 0.5).value()->digest());
  EXPECT_EQ(dataset->digest(), open("[[0,1],[2,3],[4,5],[6,7]]", 0.5).value()->digest());
}

TEST_F(IdsDatasetTest, what_is_no_row_of_ids_is_named) {
  EXPECT_THAT(message(open("[[0,1],[2,10]]")), HasSubstr("row 1, column 1 is 10; ids are whole numbers from 0 to 9 (vocab_size 10)"));
  EXPECT_THAT(message(open("[[-1,1]]")), HasSubstr("row 0, column 0 is -1"));
  EXPECT_THAT(message(open("[[1,1.5]]")), HasSubstr("row 0, column 1 is 1.5"));
  EXPECT_THAT(message(open("[[1,\"2\"]]")), HasSubstr("row 0, column 1 is \"2\""));
  EXPECT_THAT(message(open("[[1,18446744073709551615]]")), HasSubstr("row 0, column 1 is 18446744073709551615"));
  EXPECT_THAT(message(open("[[1,4294967297]]")), HasSubstr("row 0, column 1 is 4294967297"));
  EXPECT_THAT(message(open("[[1,2],[1,2,3]]")), HasSubstr("row 1 has 3 ids, row 0 has 2"));
  EXPECT_THAT(message(open("[[1],[1]]")), HasSubstr("row 0 has 1 ids; a prediction needs at least 2"));
  EXPECT_THAT(message(open("[[]]")), HasSubstr("row 0 has 0 ids"));
  EXPECT_THAT(message(open("[[1,2],7]")), HasSubstr("row 1 is not a list of ids but number"));
  EXPECT_THAT(message(open("[]")), HasSubstr("an empty list"));
  EXPECT_THAT(message(open("{}")), HasSubstr("not a list of rows of ids but object"));
  EXPECT_THAT(message(open("")), HasSubstr("rows.json"));
  EXPECT_THAT(message(open("[[1,2]")), HasSubstr("rows.json"));
}

}  // namespace
}  // namespace godwit::data
