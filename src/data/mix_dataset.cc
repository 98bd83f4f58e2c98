// A weighted mix of other data.
#include <algorithm>
#include <bit>
#include <utility>

#include "base/random.h"
#include "data/kinds.h"

namespace godwit::data {
namespace {

class MixDataset final : public Dataset {
 public:
  struct Part {
    std::unique_ptr<Dataset> dataset;
    double weight_sum;  // of this part and those before it
  };

  MixDataset(std::vector<Part> parts, std::uint64_t seed, Digest digest)
      : parts_(std::move(parts)), stream_(seed, Purpose::mix, 0), digest_(digest) {}

  std::int64_t predictions_max() const override {
    std::int64_t most = 0;
    for (const Part& part : parts_) most = std::max(most, part.dataset->predictions_max());
    return most;
  }
  std::uint64_t samples_per_epoch() const override {
    std::uint64_t sum = 0;
    for (const Part& part : parts_) sum += part.dataset->samples_per_epoch();
    return sum;
  }
  Cursor begin() const override { return {std::vector<std::uint64_t>(parts_.size() + 1)}; }

  Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const override {
    CHECK(cursor.values.size() == parts_.size() + 1 && count >= 0, "a cursor of {} values, {} samples", cursor.values.size(), count);
    std::vector<Sample> samples;
    samples.reserve(static_cast<std::size_t>(count));
    for (; count > 0; --count) {
      const std::size_t chosen = choose(cursor.values[0]);
      Cursor place{{cursor.values[chosen + 1]}};
      TRY_ASSIGN(std::vector<Sample> one, parts_[chosen].dataset->next(place, 1));
      samples.push_back(std::move(one.front()));
      cursor.values[chosen + 1] = place.values[0];
      ++cursor.values[0];
    }
    return samples;
  }

  std::int64_t validation_count() const override {
    std::int64_t sum = 0;
    for (const Part& part : parts_) sum += part.dataset->validation_count();
    return sum;
  }
  Result<Sample> validation(std::int64_t index) const override {
    CHECK(index >= 0 && index < validation_count(), "validation sample {} of {}", index, validation_count());
    auto part = parts_.begin();
    for (; index >= part->dataset->validation_count(); ++part) index -= part->dataset->validation_count();
    return part->dataset->validation(index);
  }

  // Over all parts with validation; nothing as soon as one of them does not know.
  Result<void> count_validation_bytes() {
    double bytes = 0;
    std::int64_t predictions = 0;
    for (const Part& part : parts_) {
      std::int64_t of_part = 0;
      for (std::int64_t i = 0; i < part.dataset->validation_count(); ++i) {
        TRY_ASSIGN(const Sample sample, part.dataset->validation(i));
        of_part += sample.predictions();
      }
      if (of_part == 0) continue;
      const std::optional<double> per_token = part.dataset->bytes_per_token();
      if (!per_token) return {};
      bytes += *per_token * static_cast<double>(of_part);
      predictions += of_part;
    }
    if (predictions > 0) bytes_per_token_ = bytes / static_cast<double>(predictions);
    return {};
  }

  std::optional<double> bytes_per_token() const override { return bytes_per_token_; }
  Result<std::string> repair(const DatasetOptions& options) const override {
    std::string made;
    for (const Part& part : parts_) {
      TRY_ASSIGN(const std::string one, part.dataset->repair(options));
      if (!one.empty()) made += (made.empty() ? "" : "; ") + one;
    }
    return made;
  }
  std::vector<DataFile> files() const override {
    std::vector<DataFile> files;
    for (const Part& part : parts_) {
      for (DataFile& file : part.dataset->files()) files.push_back(std::move(file));
    }
    return files;
  }
  Digest digest() const override { return digest_; }
  std::string description() const override {
    std::string text;
    double before = 0;
    for (const Part& part : parts_) {
      const double share = (part.weight_sum - before) / parts_.back().weight_sum;
      text += fmt::format("{}{:.3g} % {}", text.empty() ? "" : "; ", 100 * share, part.dataset->description());
      before = part.weight_sum;
    }
    return text;
  }

 private:
  std::size_t choose(std::uint64_t index) const {
    const double at = stream_.f64(index) * parts_.back().weight_sum;
    std::size_t part = 0;
    while (part + 1 < parts_.size() && at >= parts_[part].weight_sum) ++part;
    return part;
  }

  std::vector<Part> parts_;
  RandomStream stream_;
  Digest digest_;
  std::optional<double> bytes_per_token_;
};

}  // namespace

Result<std::unique_ptr<Dataset>> open_mix(const DataSettings& settings, const DatasetOptions& options) {
  std::vector<MixDataset::Part> parts;
  Sha256 sha;
  sha.update(fmt::format("godwit data 1\nmix {}\n", settings.parts.size()));
  double weight_sum = 0;
  for (const DataSettings& part : settings.parts) {
    DatasetOptions part_options = options;
    if (options.progress) {
      part_options.progress = [&, before = static_cast<double>(parts.size())](double share) {
        options.progress((before + share) / static_cast<double>(settings.parts.size()));
      };
    }
    TRY_ASSIGN(auto dataset, open_dataset(part, part_options));
    weight_sum += part.weight;
    sha.update(fmt::format("weight {:016x}\n", std::bit_cast<std::uint64_t>(part.weight)));
    sha.update(dataset->digest().bytes);
    parts.push_back({std::move(dataset), weight_sum});
  }
  auto mix = std::make_unique<MixDataset>(std::move(parts), options.seed, sha.finish());
  TRY(mix->count_validation_bytes());
  return std::unique_ptr<Dataset>(std::move(mix));
}

}  // namespace godwit::data
