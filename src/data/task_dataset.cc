// Problems of a task, or of a file, as documents: one a sample.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/file.h"
#include "data/document.h"
#include "data/kinds.h"
#include "data/problems.h"

namespace godwit::data {
namespace {

constexpr std::int64_t validation_of_a_task = 256;

class TaskDataset final : public Dataset {
 public:
  TaskDataset(std::unique_ptr<Problems> problems, text::Tokenizer tokenizer, std::int64_t validation)
      : problems_(std::move(problems)), tokenizer_(std::move(tokenizer)), validation_(validation) {}

  // Of a file the lengths are known when all documents were made, which also shows that each can be; of a task they are bounded, and the
  // first document stands for all: they are made of the same characters.
  Result<void> measure() {
    const bool has_long = problems_->options().real("long") > 0;
    TRY(document(Split::training, 0));
    if (!problems_->count(Split::training)) {
      predictions_max_ = document_ids_max(problems_->longest(), has_long) - 1;
      return {};
    }
    for (const Split split : {Split::training, Split::evaluation}) {
      for (std::uint64_t i = 0; i < *problems_->count(split); ++i) {
        const Problem problem = problems_->problem(split, i);
        const auto sample = make_document(problem, has_long, tokenizer_);
        if (!sample.ok()) return input_error("the problem \"{}\": {}", problem.prompt.substr(0, 40), sample.error().message);
        predictions_max_ = std::max(predictions_max_, sample->predictions());
      }
    }
    return {};
  }

  std::int64_t predictions_max() const override { return predictions_max_; }
  std::uint64_t samples_per_epoch() const override { return problems_->count(Split::training).value_or(0); }
  Cursor begin() const override { return {{0}}; }

  Result<std::vector<Sample>> next(Cursor& cursor, std::int64_t count) const override {
    return draw_samples(cursor, count, [&](std::uint64_t index) { return document(Split::training, index); });
  }

  std::int64_t validation_count() const override { return validation_; }
  Result<Sample> validation(std::int64_t index) const override {
    CHECK(index >= 0 && index < validation_, "validation document {} of {}", index, validation_);
    return document(Split::evaluation, static_cast<std::uint64_t>(index));
  }

  std::vector<DataFile> files() const override { return problems_->files(); }
  Digest digest() const override {
    Sha256 sha;
    sha.update(fmt::format("godwit data 1\ntask\nvalidation {}\n", validation_));
    sha.update(problems_->digest().bytes);
    sha.update(sha256(as_bytes(tokenizer_.json())).bytes);
    sha.update(fmt::format("eos {}\n", *tokenizer_.eos()));
    return sha.finish();
  }
  std::string description() const override {
    std::string options;
    for (const auto& [name, value] : problems_->options().json().items()) {
      options += fmt::format(", {} {}", name, value.is_string() ? value.string() : write_json(value));
    }
    const auto count = problems_->count(Split::training);
    return fmt::format("{}{}: documents of at most {} predictions, {} to train on, {} to validate", problems_->name(), options,
                       grouped(static_cast<std::uint64_t>(predictions_max_)), count ? grouped(*count) : "as many as asked for",
                       grouped(static_cast<std::uint64_t>(validation_)));
  }

 private:
  // Where problems end, they begin again.
  Result<Sample> document(Split split, std::uint64_t index) const {
    const auto count = problems_->count(split);
    const Problem problem = problems_->problem(split, count ? index % *count : index);
    TRY_ASSIGN(Sample sample, make_document(problem, problems_->is_long(problem, index), tokenizer_));
    CHECK(predictions_max_ == 0 || sample.predictions() <= predictions_max_, "{}: document {} has {} predictions, at most {} were promised",
          problems_->name(), index, sample.predictions(), predictions_max_);
    return sample;
  }

  std::unique_ptr<Problems> problems_;
  text::Tokenizer tokenizer_;
  std::int64_t validation_;
  std::int64_t predictions_max_ = 0;  // 0: not known yet
};

}  // namespace

Result<std::unique_ptr<Dataset>> open_task(const DataSettings& settings, const DatasetOptions& options) {
  const std::string& place = settings.task_place;
  if (options.tokenizer == nullptr) {
    return input_error("{}: kind \"task\" needs a tokenizer; set [tokenizer] path, or kind = \"characters\"", settings.place);
  }
  if (options.tokenizer->vocab_size() > options.vocab_size) {
    return input_error("{}: the tokenizer has {} tokens, the model's vocab_size is {}; take the tokenizer that belongs to the model",
                       settings.place, options.tokenizer->vocab_size(), options.vocab_size);
  }
  if (const auto tokens = document_tokens(*options.tokenizer); !tokens.ok()) return input_error("{}: {}", place, tokens.error().message);
  TRY_ASSIGN(auto problems, open_problems({.name = settings.task, .options = settings.options, .seed = options.seed, .place = place}));
  std::int64_t validation = settings.validation_count.value_or(validation_of_a_task);
  if (const auto count = problems->count(Split::evaluation)) {
    // What is trained on does not validate: of a file only what is held out.
    const auto held_out = problems->options().integer("held_out");
    if (held_out == 0 && settings.validation_count.value_or(0) > 0) {
      return input_error("{}: validation_count = {}, and no problem of {} is held out; set options = {{ held_out = {} }}", settings.place,
                         validation, settings.task, validation);
    }
    validation = std::min(settings.validation_count.value_or(held_out), held_out);
  }
  auto dataset = std::make_unique<TaskDataset>(std::move(problems), *options.tokenizer, validation);
  if (const auto measured = dataset->measure(); !measured.ok()) {
    return Error{measured.error().kind, fmt::format("{} = \"{}\": {}", place, settings.task, measured.error().message)};
  }
  return std::unique_ptr<Dataset>(std::move(dataset));
}

}  // namespace godwit::data
