// Training data as samples: a stream that replays to the exact batch, and a validation part.
//
// What comes next is a pure function of (content, options, seed, cursor). The cursor is a few integers that belong to the run's state.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/digest.h"
#include "base/error.h"
#include "text/tokenizer.h"

namespace godwit::data {

// What attention is confined to: ids[0 … n], of which ids[t+1] is predicted from ids[0 … t] for t < n = predictions().
struct Sample {
  std::vector<std::int32_t> ids;
  std::vector<std::uint8_t> labelled;  // by prediction t: 1 if it counts in the loss
  std::uint64_t index = 0;             // its place in the stream, where the stream is one of prompts

  [[nodiscard]] std::int64_t predictions() const { return static_cast<std::int64_t>(ids.size()) - 1; }
};

// Position in the stream. values[0] counts the samples drawn; a mix adds one count per part. Its length is fixed by the dataset.
struct Cursor {
  std::vector<std::uint64_t> values;
  friend bool operator==(const Cursor&, const Cursor&) = default;
};

// A file that data come from, as it was when it was read.
struct DataFile {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  Digest digest;  // SHA-256
};

// The next `count` samples of a stream whose cursor is one number: make(index) of each. After an error the cursor is where it was.
template <typename Make>
[[nodiscard]] Result<std::vector<Sample>> draw_samples(Cursor& cursor, std::int64_t count, const Make& make) {
  CHECK(cursor.values.size() == 1 && count >= 0, "a cursor of {} values, {} samples", cursor.values.size(), count);
  std::vector<Sample> samples;
  samples.reserve(static_cast<std::size_t>(count));
  std::uint64_t index = cursor.values[0];
  for (; count > 0; --count) {
    TRY_ASSIGN(Sample one, make(index++));
    samples.push_back(std::move(one));
  }
  cursor.values[0] = index;
  return samples;
}

struct DatasetOptions;

class Dataset {
 public:
  virtual ~Dataset() = default;

  // Most predictions a sample has.
  [[nodiscard]] virtual std::int64_t predictions_max() const = 0;
  // Samples in one pass over the training part, 0 where it has no end; of a mix, the sum over its parts.
  [[nodiscard]] virtual std::uint64_t samples_per_epoch() const = 0;
  [[nodiscard]] virtual Cursor begin() const = 0;
  // The next `count` samples; moves the cursor past them. ErrorKind::differs: what was made of the data is not on the disk any more as it
  // was; `repair` makes it again. Nothing that has changed since the data were opened becomes a sample.
  [[nodiscard]] virtual Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const = 0;
  // The validation part, in order, the same at every evaluation. 0 if there is none. Its last sample may be shorter than the others.
  [[nodiscard]] virtual std::int64_t validation_count() const = 0;
  [[nodiscard]] virtual Result<Sample> validation(std::int64_t index) const = 0;
  // Bytes of text one predicted token stands for on average over the validation part (for nats per byte), control tokens standing for none;
  // nothing for data of ids, or without validation.
  [[nodiscard]] virtual std::optional<double> bytes_per_token() const { return std::nullopt; }
  // Makes again from the files what was found changed; needs what it was opened with. ErrorKind::world: a file is not what it was then, and
  // which one is said; all is well again once it is put back. Says what it has made, or nothing.
  [[nodiscard]] virtual Result<std::string> repair(const DatasetOptions&) const { return std::string(); }
  [[nodiscard]] virtual std::vector<DataFile> files() const = 0;
  // Of everything that determines the samples: contents of the files, tokenizer, options. Not of paths.
  [[nodiscard]] virtual Digest digest() const = 0;
  // One line for people: "tinyshakespeare.txt: 1,115,394 bytes, 1,003,855 tokens to train on, 111,539 to validate".
  [[nodiscard]] virtual std::string description() const = 0;
};

struct DatasetOptions {
  std::uint64_t seed = 0;
  std::int64_t vocab_size = 0;                 // ids outside it are refused
  const text::Tokenizer* tokenizer = nullptr;  // needed by kinds that read text
  std::filesystem::path cache;                 // directory for token shards, used by one process at a time; made if needed
  std::function<void(double share)> progress;  // while tokenizing; may be empty
  std::function<bool()> interrupted;           // asked while tokenizing; true gives it up with ErrorKind::stopped; may be empty
};

// Keys of [data] and their rules. What each kind of data is: settings.h.
[[nodiscard]] std::vector<ConfigKey> config_keys();
// Opens the data [data] describes. The dataset keeps nothing of `options` but the seed and a handle to the
// tokenizer, and may be read from many threads at once.
[[nodiscard]] Result<std::unique_ptr<Dataset>> open_dataset(const Config& config, const DatasetOptions& options);

}  // namespace godwit::data
