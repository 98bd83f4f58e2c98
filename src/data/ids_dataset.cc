// Rows of token ids from a JSON file.
#include <bit>
#include <cmath>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "data/kinds.h"

namespace godwit::data {
namespace {

struct Rows {
  std::vector<std::int32_t> ids;  // row after row
  std::uint64_t count = 0;
  std::uint64_t length = 0;
};

class IdsDataset final : public Dataset {
 public:
  IdsDataset(Rows rows, std::uint64_t training, Digest digest, DataFile file)
      : rows_(std::move(rows)), training_(training), digest_(digest), file_(std::move(file)) {}

  std::int64_t predictions_max() const override { return static_cast<std::int64_t>(rows_.length) - 1; }
  std::uint64_t samples_per_epoch() const override { return training_; }
  Cursor begin() const override { return {{0}}; }

  Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const override {
    return draw_samples(cursor, count, [&](std::uint64_t index) -> Result<Sample> { return row(index % training_); });
  }

  std::int64_t validation_count() const override { return static_cast<std::int64_t>(rows_.count - training_); }
  Result<Sample> validation(std::int64_t index) const override {
    CHECK(index >= 0 && index < validation_count(), "validation row {} of {}", index, validation_count());
    return row(training_ + static_cast<std::uint64_t>(index));
  }

  std::vector<DataFile> files() const override { return {file_}; }
  Digest digest() const override { return digest_; }
  std::string description() const override {
    return fmt::format("{}: rows of {} ids, {} to train on, {} to validate", file_.path.filename().string(), grouped(rows_.length),
                       grouped(training_), grouped(rows_.count - training_));
  }

 private:
  Sample row(std::uint64_t index) const {
    const auto begin = rows_.ids.begin() + static_cast<std::ptrdiff_t>(index * rows_.length);
    return {{begin, begin + static_cast<std::ptrdiff_t>(rows_.length)}, std::vector<std::uint8_t>(rows_.length - 1, 1)};
  }

  Rows rows_;
  std::uint64_t training_;
  Digest digest_;
  DataFile file_;
};

Result<Rows> read_rows(const Json& json, const std::string& name, std::int64_t vocab_size) {
  if (!json.is_array() || json.empty())
    return input_error("{}: not a list of rows of ids but {}; write [[5, 9, 2], …]", name,
                       json.is_array() ? "an empty list" : json.type_name());
  Rows rows;
  for (const Json& row : json) {
    if (!row.is_array()) return input_error("{}: row {} is not a list of ids but {}", name, rows.count, row.type_name());
    if (rows.count == 0) {
      rows.length = row.size();
      if (rows.length < 2) return input_error("{}: row 0 has {} ids; a prediction needs at least 2", name, rows.length);
    }
    if (row.size() != rows.length)
      return input_error("{}: row {} has {} ids, row 0 has {}; all rows must have one length", name, rows.count, row.size(), rows.length);
    for (std::size_t column = 0; column < row.size(); ++column) {
      const Json& id = row[column];
      // Compared as the type it was read as: a number above 2^63 is unsigned.
      const bool known = id.is_number_unsigned()
                             ? id.get<std::uint64_t>() < static_cast<std::uint64_t>(vocab_size)
                             : id.is_number_integer() && id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() < vocab_size;
      if (!known) {
        return input_error("{}: row {}, column {} is {}; ids are whole numbers from 0 to {} (vocab_size {})", name, rows.count, column,
                           write_json(id), vocab_size - 1, vocab_size);
      }
      rows.ids.push_back(id.get<std::int32_t>());
    }
    ++rows.count;
  }
  return rows;
}

}  // namespace

Result<std::unique_ptr<Dataset>> open_ids(const DataSettings& settings, const DatasetOptions& options) {
  const std::filesystem::path& path = settings.paths.front();
  TRY_ASSIGN(const std::string text, read_file(path));
  TRY_ASSIGN(const Json json, parse_json(text, path.string()));
  TRY_ASSIGN(Rows rows, read_rows(json, path.string(), options.vocab_size));
  const auto training = static_cast<std::uint64_t>(std::floor(static_cast<double>(rows.count) * (1 - settings.validation)));
  if (training == 0) {
    return input_error("{}: {} has {} rows, and validation = {} leaves none to train on; give more rows or a smaller validation",
                       settings.place, path.string(), rows.count, settings.validation);
  }
  Sha256 sha;
  sha.update(fmt::format("godwit data 1\nids\nvalidation {:016x}\n", std::bit_cast<std::uint64_t>(settings.validation)));
  const DataFile file{path, text.size(), sha256(as_bytes(text))};
  sha.update(file.digest.bytes);
  return std::unique_ptr<Dataset>(std::make_unique<IdsDataset>(std::move(rows), training, sha.finish(), file));
}

}  // namespace godwit::data
