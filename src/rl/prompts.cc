#include "base/random.h"
#include "rl/roll_outs.h"

namespace godwit::rl {

namespace {

class Prompts : public data::Dataset {
 public:
  Prompts(const data::Problems& problems, const text::Tokenizer& tokenizer, std::uint64_t seed)
      : problems_(problems), tokenizer_(tokenizer), seed_(seed) {}

  // Every token but <think> stands for a byte at least.
  std::int64_t predictions_max() const override { return problems_.longest().prompt; }
  std::uint64_t samples_per_epoch() const override { return problems_.count(data::Split::training).value_or(0); }
  data::Cursor begin() const override { return {{0}}; }
  Result<std::vector<data::Sample>> next(data::Cursor& cursor, std::int64_t count) const override {
    return data::draw_samples(cursor, count, [&](std::uint64_t index) -> Result<data::Sample> {
      data::Sample sample;
      sample.index = index;
      TRY_ASSIGN(sample.ids, data::prompt_ids(problem_at(problems_, seed_, index), tokenizer_));
      sample.labelled.assign(sample.ids.size() - 1, 0);
      return sample;
    });
  }
  std::int64_t validation_count() const override { return 0; }
  Result<data::Sample> validation(std::int64_t) const override { return world_error("prompts have no validation part"); }
  std::vector<data::DataFile> files() const override { return problems_.files(); }
  Digest digest() const override { return problems_.digest(); }
  std::string description() const override {
    const auto count = problems_.count(data::Split::training);
    return count ? fmt::format("{}: {} problems", problems_.name(), *count) : fmt::format("problems of the task {}", problems_.name());
  }

 private:
  const data::Problems& problems_;
  const text::Tokenizer& tokenizer_;
  std::uint64_t seed_;
};

}  // namespace

data::Problem problem_at(const data::Problems& problems, std::uint64_t seed, std::uint64_t index) {
  const auto count = problems.count(data::Split::training);
  if (!count) return problems.problem(data::Split::training, index);
  const Permutation order(*count, seed, index / *count);
  return problems.problem(data::Split::training, order(index % *count));
}

std::unique_ptr<data::Dataset> make_prompts(const data::Problems& problems, const text::Tokenizer& tokenizer, std::uint64_t seed) {
  return std::make_unique<Prompts>(problems, tokenizer, seed);
}

}  // namespace godwit::rl
