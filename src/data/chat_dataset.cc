// Conversations: one a sample, of which the assistant's answers are learned.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "base/file.h"
#include "base/random.h"
#include "data/chat_file.h"
#include "data/kinds.h"

namespace godwit::data {
namespace {

// Conversations as ids, one behind the other: all are read and encoded once, which also shows that each can be.
class Conversations {
 public:
  std::uint64_t count() const { return ends_.size(); }
  std::uint64_t ids() const { return ids_.size(); }
  std::int64_t predictions_max() const { return predictions_max_; }

  void add(const Sample& sample) {
    ids_.insert(ids_.end(), sample.ids.begin(), sample.ids.end());
    learned_.push_back(0);  // nothing comes before the first id
    learned_.insert(learned_.end(), sample.labelled.begin(), sample.labelled.end());
    ends_.push_back(ids_.size());
    predictions_max_ = std::max(predictions_max_, sample.predictions());
  }

  Sample sample(std::uint64_t index) const {
    const auto begin = static_cast<std::ptrdiff_t>(index == 0 ? 0 : ends_[index - 1]), end = static_cast<std::ptrdiff_t>(ends_[index]);
    return {{ids_.begin() + begin, ids_.begin() + end}, {learned_.begin() + begin + 1, learned_.begin() + end}};
  }

 private:
  std::vector<std::int32_t> ids_;
  std::vector<std::uint8_t> learned_;  // by id
  std::vector<std::uint64_t> ends_;
  std::int64_t predictions_max_ = 0;
};

// What became of those that are too long, and of lines without a conversation.
struct Left {
  std::uint64_t cut = 0, skipped = 0, passed_over = 0;
};

class ChatDataset final : public Dataset {
 public:
  struct Parts {
    Conversations conversations;
    std::vector<std::uint64_t> training, validation;  // which of them
    std::vector<DataFile> files;
    Left left;
  };

  ChatDataset(Parts parts, std::uint64_t seed, Digest digest) : parts_(std::move(parts)), seed_(seed), digest_(digest) {}

  std::int64_t predictions_max() const override { return parts_.conversations.predictions_max(); }
  std::uint64_t samples_per_epoch() const override { return parts_.training.size(); }
  Cursor begin() const override { return {{0}}; }

  Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const override {
    const std::uint64_t per_epoch = samples_per_epoch();
    return draw_samples(cursor, count, [&](std::uint64_t index) -> Result<Sample> {
      const Permutation order(per_epoch, seed_, index / per_epoch);
      return parts_.conversations.sample(parts_.training[order(index % per_epoch)]);
    });
  }

  std::int64_t validation_count() const override { return static_cast<std::int64_t>(parts_.validation.size()); }
  Result<Sample> validation(std::int64_t index) const override {
    CHECK(index >= 0 && index < validation_count(), "validation conversation {} of {}", index, validation_count());
    return parts_.conversations.sample(parts_.validation[static_cast<std::size_t>(index)]);
  }

  std::vector<DataFile> files() const override { return parts_.files; }
  Digest digest() const override { return digest_; }
  std::string description() const override {
    std::vector<std::string> names;
    for (const DataFile& file : parts_.files) names.push_back(file.path.filename().string());
    std::string text = fmt::format("{}: {} conversations to train on, {} to validate, of {} tokens on average and {} predictions at most",
                                   fmt::join(names, ", "), grouped(parts_.training.size()), grouped(parts_.validation.size()),
                                   grouped(parts_.conversations.ids() / parts_.conversations.count()),
                                   grouped(static_cast<std::uint64_t>(predictions_max())));
    const Left& left = parts_.left;
    if (left.cut > 0) text += fmt::format("; {} cut for their length", grouped(left.cut));
    if (left.skipped > 0) text += fmt::format("; {} left out for their length", grouped(left.skipped));
    if (left.passed_over > 0) text += fmt::format("; {} lines had none", grouped(left.passed_over));
    return text;
  }

 private:
  Parts parts_;
  std::uint64_t seed_;
  Digest digest_;
};

Result<Sample> encode(const std::vector<text::ChatPiece>& pieces, const text::Tokenizer& tokenizer) {
  Sample sample;
  for (const text::ChatPiece& piece : pieces) {
    if (piece.control) {
      const auto id = tokenizer.token_id(piece.text);
      if (!id) return input_error("the tokenizer has no {}, which its chat template needs; godwit's own have it", piece.text);
      sample.ids.push_back(*id);
    } else {
      TRY_ASSIGN(const std::vector<std::int32_t> more, tokenizer.encode(piece.text, {.added_tokens = false}));
      sample.ids.insert(sample.ids.end(), more.begin(), more.end());
    }
    sample.labelled.resize(sample.ids.size(), piece.learned ? 1 : 0);
  }
  sample.labelled.erase(sample.labelled.begin());  // BOS is never predicted
  return sample;
}

// Reads files and decides what becomes of each conversation.
class Reader {
 public:
  Reader(const DataSettings& settings, const DatasetOptions& options, text::ChatFormat format)
      : settings_(settings), options_(options), format_(format) {}

  Result<void> read(std::size_t which) {
    const std::filesystem::path& path = settings_.paths[which];
    const std::uint64_t first = parts_.conversations.count();
    const auto take = [&](const std::vector<text::ChatMessage>& messages, const std::string& place, double share) -> Result<void> {
      if (options_.interrupted && options_.interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
      if (options_.progress) {
        options_.progress((static_cast<double>(which) + share) / static_cast<double>(settings_.paths.size()));
      }
      return add(messages, place);
    };
    TRY_ASSIGN(ChatFile file, read_chat_file(path, take));
    parts_.left.passed_over += file.passed_over;
    parts_.files.push_back(std::move(file.file));
    const std::uint64_t end = parts_.conversations.count();
    const auto training = static_cast<std::uint64_t>(std::floor(static_cast<double>(end - first) * (1 - settings_.validation)));
    for (std::uint64_t i = first; i < end; ++i) (i < first + training ? parts_.training : parts_.validation).push_back(i);
    return {};
  }

  Result<ChatDataset::Parts> finish() && {
    if (refused_ > 0) {
      return input_error(
          "{}: the conversation has {} predictions, [data] sequence allows {}, and so it is with {} in all, of {} at most; set sequence = "
          "{}, "
          "or too_long = \"skip\" or \"cut\"",
          refused_place_, refused_predictions_, settings_.sequence, refused_, refused_most_, refused_most_);
    }
    if (parts_.training.empty()) {
      return input_error(
          "{}: of {}{} {} conversations are left ({} were left out for their length, {} lines had none), and validation = {} leaves "
          "none to train on",
          settings_.place, parts_.files.front().path.string(), parts_.files.size() > 1 ? " …" : "", parts_.conversations.count(),
          parts_.left.skipped, parts_.left.passed_over, settings_.validation);
    }
    return std::move(parts_);
  }

 private:
  Result<void> add(const std::vector<text::ChatMessage>& messages, const std::string& place) {
    const auto named = [&](const Error& error) { return Error{error.kind, fmt::format("{}: {}", place, error.message)}; };
    const auto pieces = text::render_lesson(format_, messages);
    if (!pieces.ok()) return named(pieces.error());
    auto encoded = encode(*pieces, *options_.tokenizer);
    if (!encoded.ok()) return named(encoded.error());
    Sample sample = std::move(encoded).value();
    if (sample.predictions() > settings_.sequence) {
      if (settings_.too_long == "refuse") return refuse(sample.predictions(), place);
      if (settings_.too_long == "cut") {
        sample.labelled.resize(static_cast<std::size_t>(settings_.sequence));
        sample.ids.resize(sample.labelled.size() + 1);
      }
      // Cut before its first answer, nothing of it would be learned.
      if (settings_.too_long == "skip" || std::ranges::count(sample.labelled, 1) == 0) {
        ++parts_.left.skipped;
        return {};
      }
      ++parts_.left.cut;
    }
    parts_.conversations.add(sample);
    return {};
  }

  // The rest is read all the same: so that one message says what sequence would do for all.
  Result<void> refuse(std::int64_t predictions, const std::string& place) {
    if (refused_++ == 0) {
      refused_place_ = place;
      refused_predictions_ = predictions;
    }
    refused_most_ = std::max(refused_most_, predictions);
    return {};
  }

  const DataSettings& settings_;
  const DatasetOptions& options_;
  text::ChatFormat format_;
  ChatDataset::Parts parts_;
  std::uint64_t refused_ = 0;
  std::string refused_place_;
  std::int64_t refused_predictions_ = 0, refused_most_ = 0;
};

Digest chat_digest(const DataSettings& settings, const text::Tokenizer& tokenizer, text::ChatFormat format,
                   const std::vector<DataFile>& files) {
  Sha256 sha;
  sha.update(fmt::format("godwit data 1\nchat {}\nsequence {}\ntoo_long {}\nvalidation {:016x}\nfiles {}\n",
                         format == text::ChatFormat::r1 ? "r1" : "v3_1", settings.sequence, settings.too_long,
                         std::bit_cast<std::uint64_t>(settings.validation), files.size()));
  sha.update(sha256(as_bytes(tokenizer.json())).bytes);
  for (const DataFile& file : files) sha.update(file.digest.bytes);
  return sha.finish();
}

}  // namespace

Result<std::unique_ptr<Dataset>> open_chat(const DataSettings& settings, const DatasetOptions& options) {
  if (options.tokenizer == nullptr) {
    return input_error("{}: kind \"chat\" needs a tokenizer; set [tokenizer] path, or kind = \"bytes\"", settings.place);
  }
  const text::Tokenizer& tokenizer = *options.tokenizer;
  if (tokenizer.vocab_size() > options.vocab_size) {
    return input_error("{}: the tokenizer has {} tokens, the model's vocab_size is {}; take the tokenizer that belongs to the model",
                       settings.place, tokenizer.vocab_size(), options.vocab_size);
  }
  const auto format = text::recognise_template(tokenizer.chat_template());
  if (!format) {
    return input_error(
        "{}: kind \"chat\" needs a tokenizer with DeepSeek's chat template, and this one's is {}; take one of godwit's own, or "
        "write a template of DeepSeek's as chat_template into its tokenizer_config.json",
        settings.place, tokenizer.chat_template().empty() ? "missing" : "another");
  }
  Reader reader(settings, options, *format);
  for (std::size_t i = 0; i < settings.paths.size(); ++i) TRY(reader.read(i));
  TRY_ASSIGN(ChatDataset::Parts parts, std::move(reader).finish());
  const Digest digest = chat_digest(settings, tokenizer, *format, parts.files);
  return std::unique_ptr<Dataset>(std::make_unique<ChatDataset>(std::move(parts), options.seed, digest));
}

}  // namespace godwit::data
