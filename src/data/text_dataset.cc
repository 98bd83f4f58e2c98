// Text: files → token shards → windows.
#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "data/kinds.h"
#include "data/source.h"
#include "data/token_shard.h"
#include "data/windows.h"

namespace godwit::data {
namespace {

// Ranges of shards read as one stream.
class TokenStream {
 public:
  void add(const TokenShard& shard, std::uint64_t begin, std::uint64_t end) {
    if (begin == end) return;
    ranges_.push_back({&shard, begin, size_});
    size_ += end - begin;
  }
  std::uint64_t size() const { return size_; }

  Result<void> read(std::uint64_t begin, std::span<std::int32_t> ids) const {
    auto range = std::upper_bound(ranges_.begin(), ranges_.end(), begin, [](std::uint64_t at, const Range& r) { return at < r.place; }) - 1;
    while (!ids.empty()) {
      const std::uint64_t end = range + 1 == ranges_.end() ? size_ : (range + 1)->place;
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(ids.size(), end - begin));
      TRY(range->shard->read(range->begin + (begin - range->place), ids.first(count)));
      ids = ids.subspan(count);
      begin += count;
      ++range;
    }
    return {};
  }

 private:
  struct Range {
    const TokenShard* shard;
    std::uint64_t begin;  // in the shard
    std::uint64_t place;  // in the stream
  };
  std::vector<Range> ranges_;
  std::uint64_t size_ = 0;
};

// How the text of a source becomes ids, for digests.
void add_source(Sha256& sha, const Source& source) {
  sha.update(source.digest.bytes);
  sha.update(source.text_key.empty() ? std::string("plain\n") : fmt::format("jsonl {} {}\n", source.text_key.size(), source.text_key));
}

void add_tokenizer(Sha256& sha, const text::Tokenizer& tokenizer, std::int32_t eos) {
  sha.update(sha256(as_bytes(tokenizer.json())).bytes);
  sha.update(fmt::format("eos {}\n", eos));
}

Digest shard_key(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos) {
  Sha256 sha;
  sha.update("godwit token shard 1\n");
  add_source(sha, source);
  add_tokenizer(sha, tokenizer, eos);
  return sha.finish();
}

std::filesystem::path shard_path(const std::filesystem::path& cache, const Digest& key) {
  return cache / (hex(key) + ".tokens");
}

Result<TokenShard> make_shard(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos, const std::filesystem::path& cache,
                              const TokenizeOptions& options) {
  const Digest key = shard_key(source, tokenizer, eos);
  const std::filesystem::path path = shard_path(cache, key);
  TRY_ASSIGN(TokenShardWriter writer, TokenShardWriter::create(path, key, shard_width(tokenizer.vocab_size())));
  TRY(tokenize(source, tokenizer, eos, writer, options));
  TRY(writer.commit());
  return TokenShard::open(path, key, [&] {
    if (options.progress) options.progress(source.bytes);
  });
}

class TextDataset final : public Dataset {
 public:
  TextDataset(std::vector<Source> sources, std::vector<TokenShard> shards, const DataSettings& settings, std::uint64_t seed, Digest digest)
      : sources_(std::move(sources)),
        shards_(std::move(shards)),
        sequence_(static_cast<std::uint64_t>(settings.sequence)),
        seed_(seed),
        digest_(digest) {
    for (const TokenShard& shard : shards_) {
      const std::uint64_t ids = shard.figures().ids;
      // double: exact to 2^53 ids, and the same everywhere.
      const auto train = static_cast<std::uint64_t>(std::floor(static_cast<double>(ids) * (1 - settings.validation)));
      training_.add(shard, 0, train);
      validation_.add(shard, train, ids);
    }
  }

  std::uint64_t training_ids() const { return training_.size(); }

  Result<void> count_validation_bytes(const text::Tokenizer& tokenizer) {
    if (validation_.size() < 2) return {};
    std::vector<std::uint64_t> bytes(static_cast<std::size_t>(tokenizer.vocab_size()));
    for (std::size_t id = 0; id < bytes.size(); ++id) {
      const auto token = static_cast<std::int32_t>(id);
      bytes[id] = tokenizer.is_special(token) ? 0 : tokenizer.token_bytes(token).size();
    }
    constexpr std::uint64_t block = 65536;
    std::vector<std::int32_t> ids;
    std::uint64_t sum = 0;
    for (std::uint64_t begin = 1; begin < validation_.size(); begin += block) {  // the first id is predicted from nothing
      ids.resize(static_cast<std::size_t>(std::min(block, validation_.size() - begin)));
      TRY(validation_.read(begin, ids));
      for (const std::int32_t id : ids) sum += bytes[static_cast<std::size_t>(id)];
    }
    bytes_per_token_ = static_cast<double>(sum) / static_cast<double>(validation_.size() - 1);
    return {};
  }

  std::int64_t predictions_max() const override { return static_cast<std::int64_t>(sequence_); }
  std::uint64_t samples_per_epoch() const override { return windows().count(); }
  Cursor begin() const override { return {{0}}; }

  Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const override {
    return draw_samples(cursor, count, [&](std::uint64_t index) { return sample(training_, windows().begin(seed_, index), sequence_); });
  }

  std::int64_t validation_count() const override {
    return validation_.size() < 2 ? 0 : static_cast<std::int64_t>((validation_.size() - 2) / sequence_ + 1);
  }
  Result<Sample> validation(std::int64_t index) const override {
    CHECK(index >= 0 && index < validation_count(), "validation sample {} of {}", index, validation_count());
    const std::uint64_t begin = static_cast<std::uint64_t>(index) * sequence_;
    return sample(validation_, begin, std::min(sequence_, validation_.size() - 1 - begin));
  }

  std::optional<double> bytes_per_token() const override { return bytes_per_token_; }
  Result<std::string> repair(const DatasetOptions& options) const override {
    CHECK(options.tokenizer != nullptr && options.tokenizer->eos(), "text is repaired with the tokenizer it was opened with");
    const text::Tokenizer& tokenizer = *options.tokenizer;
    const std::int32_t eos = *tokenizer.eos();
    const auto beat = [&] {
      if (options.progress) options.progress(0);
    };
    std::string made;
    for (const Source& source : sources_) {
      const Digest key = shard_key(source, tokenizer, eos);
      const auto shard = TokenShard::open(shard_path(options.cache, key), key, beat);
      if (shard.ok()) continue;
      if (shard.error().kind == ErrorKind::world) return shard.error();
      const auto now = open_source(source.path, source.text_key, beat);
      const bool changed = now.ok() && now->digest != source.digest;
      if (!now.ok() || changed) {
        return world_error("{}, and {}; the run began with a file of {} bytes, SHA-256 {}: put it back, and the run goes on",
                           shard.error().message,
                           changed ? fmt::format("{} now has {} bytes, SHA-256 {}", source.path.string(), now->bytes, hex(now->digest))
                                   : now.error().message,
                           source.bytes, hex(source.digest));
      }
      const TokenizeOptions tokenizing{
          .piece_bytes = std::size_t{1} << 20, .progress = [&](std::uint64_t) { beat(); }, .interrupted = options.interrupted};
      TRY(make_shard(source, tokenizer, eos, options.cache, tokenizing));
      made += fmt::format("{}{}; it was made again from {}", made.empty() ? "" : "; ", shard.error().message, source.path.string());
    }
    return made;
  }
  std::vector<DataFile> files() const override {
    std::vector<DataFile> files;
    for (const Source& source : sources_) files.push_back({source.path, source.bytes, source.digest});
    return files;
  }
  Digest digest() const override { return digest_; }
  std::string description() const override {
    std::uint64_t bytes = 0;
    for (const Source& source : sources_) bytes += source.bytes;
    const std::string more = sources_.size() == 1 ? "" : fmt::format(" and {} more", sources_.size() - 1);
    return fmt::format("{}{}: {} bytes, {} tokens to train on, {} to validate", sources_.front().path.filename().string(), more,
                       grouped(bytes), grouped(training_.size()), grouped(validation_.size()));
  }

 private:
  Windows windows() const { return {training_.size(), sequence_}; }

  static Result<Sample> sample(const TokenStream& stream, std::uint64_t begin, std::uint64_t predictions) {
    Sample sample;
    sample.ids.resize(static_cast<std::size_t>(predictions) + 1);
    sample.labelled.assign(static_cast<std::size_t>(predictions), 1);
    TRY(stream.read(begin, sample.ids));
    return sample;
  }

  std::vector<Source> sources_;
  std::vector<TokenShard> shards_;  // never changed: the streams point into it
  TokenStream training_, validation_;
  std::uint64_t sequence_, seed_;
  Digest digest_;
  std::optional<double> bytes_per_token_;
};

Digest text_digest(const std::vector<Source>& sources, const text::Tokenizer& tokenizer, std::int32_t eos, const DataSettings& settings) {
  Sha256 sha;
  sha.update(fmt::format("godwit data 1\ntext\nsequence {}\nvalidation {:016x}\nsources {}\n", settings.sequence,
                         std::bit_cast<std::uint64_t>(settings.validation), sources.size()));
  add_tokenizer(sha, tokenizer, eos);
  for (const Source& source : sources) add_source(sha, source);
  return sha.finish();
}

Result<TokenShard> open_or_make(const Source& source, const text::Tokenizer& tokenizer, std::int32_t eos,
                                const std::filesystem::path& cache, const TokenizeOptions& options) {
  const Digest key = shard_key(source, tokenizer, eos);
  const std::filesystem::path path = shard_path(cache, key);
  std::error_code code;
  if (std::filesystem::exists(path, code)) {
    Result<TokenShard> shard = TokenShard::open(path, key);
    if (shard.ok() || shard.error().kind != ErrorKind::differs) return shard;
    log_warning("token shard {}; it is made again from {}", shard.error().message, source.path.string());
  }
  return make_shard(source, tokenizer, eos, cache, options);
}

Result<void> check_shard(const TokenShard& shard, const Source& source, std::int64_t vocab_size) {
  if (shard.figures().documents == 0) return input_error("{}: there is no text in it ({} bytes)", source.path.string(), source.bytes);
  if (shard.figures().id_max >= static_cast<std::uint64_t>(vocab_size)) {
    return input_error(
        "{}: its text has the id {} by this tokenizer, the model's vocab_size is {}; take the tokenizer that belongs to the model",
        source.path.string(), shard.figures().id_max, vocab_size);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Dataset>> open_text(const DataSettings& settings, const DatasetOptions& options) {
  if (options.tokenizer == nullptr) {
    return input_error("{}: kind \"text\" needs a tokenizer; set [tokenizer] path, or kind = \"bytes\"", settings.place);
  }
  const text::Tokenizer& tokenizer = *options.tokenizer;
  const std::optional<std::int32_t> eos = tokenizer.eos();
  if (!eos)
    return input_error("{}: documents end with EOS, and the tokenizer has none; name its eos_token in tokenizer_config.json",
                       settings.place);

  std::vector<Source> sources;
  std::uint64_t bytes_total = 0;
  for (const auto& path : settings.paths) {
    TRY_ASSIGN(Source source, open_source(path, settings.text_key));
    bytes_total += source.bytes;
    sources.push_back(std::move(source));
  }
  TRY(create_directories_durably(options.cache));
  TRY(remove_temporaries(options.cache));

  std::vector<TokenShard> shards;
  std::uint64_t bytes_before = 0;
  for (const Source& source : sources) {
    TokenizeOptions tokenize_options{.interrupted = options.interrupted};
    if (options.progress) {
      tokenize_options.progress = [&](std::uint64_t done) {
        options.progress(static_cast<double>(bytes_before + done) / static_cast<double>(std::max<std::uint64_t>(bytes_total, 1)));
      };
    }
    TRY_ASSIGN(TokenShard shard, open_or_make(source, tokenizer, *eos, options.cache, tokenize_options));
    TRY(check_shard(shard, source, options.vocab_size));
    shards.push_back(std::move(shard));
    bytes_before += source.bytes;
  }

  const Digest digest = text_digest(sources, tokenizer, *eos, settings);
  auto dataset = std::make_unique<TextDataset>(std::move(sources), std::move(shards), settings, options.seed, digest);
  if (dataset->training_ids() <= static_cast<std::uint64_t>(settings.sequence)) {
    return input_error(
        "{}: {}; one sequence of {} predictions needs {} tokens to train on: give more text, or a smaller sequence or validation (now {})",
        settings.place, dataset->description(), settings.sequence, settings.sequence + 1, settings.validation);
  }
  TRY(dataset->count_validation_bytes(tokenizer));
  return std::unique_ptr<Dataset>(std::move(dataset));
}

}  // namespace godwit::data
