// A token could weigh in another completion's stead, a divisor could count prompts or padding, a group that agrees could move the weights:
// the gradient would be a plausible one, and not GRPO's.
//
// tests/golden/rl (made by make_rl_golden.py with transformers and autograd) has a model, completions with rewards, and for every kind of
// advantage and of normalising the gradient of every parameter. Bound: max |Δ| ≤ 1e-5 · max |gradient|.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/file.h"
#include "rl/advantage.h"
#include "store/huggingface_files.h"
#include "store/model_source.h"
#include "train/engine.h"

namespace godwit {
namespace {

fs::path folder() {
  return fs::path(GODWIT_SOURCE_DIR) / "tests/golden/rl";
}

std::vector<float> values_of(const store::TensorEntry& entry) {
  std::vector<float> values(entry.bytes.size() / sizeof(float));
  std::memcpy(values.data(), entry.bytes.data(), entry.bytes.size());
  return values;
}

struct Group {
  data::Sample prompt;
  std::vector<std::vector<std::int32_t>> completions;
  std::vector<double> rewards;
};

struct GoldenRollOuts {
  std::int64_t max_tokens = 0;
  std::vector<Group> groups;

  static GoldenRollOuts read() {
    const Json json = parse_json(read_file(folder() / "roll_outs.json", 1 << 20).value(), "roll_outs.json").value();
    GoldenRollOuts all;
    all.max_tokens = json["max_tokens"].get<std::int64_t>();
    const auto ids = [](const Json& list) {
      std::vector<std::int32_t> made;
      for (const Json& id : list) made.push_back(static_cast<std::int32_t>(id.get<std::int64_t>()));
      return made;
    };
    for (const Json& each : json["groups"]) {
      Group& group = all.groups.emplace_back();
      group.prompt.ids = ids(each["prompt"]);
      group.prompt.index = all.groups.size() - 1;
      for (const Json& completion : each["completions"]) {
        group.completions.push_back(ids(completion["ids"]));
        group.rewards.push_back(completion["reward"].get<double>());
      }
    }
    return all;
  }
};


struct Kind {
  std::string name;  // in the golden file
  train::RlSettings settings;
  bool off_policy = false;  // the completions were written by another model
};

std::vector<Kind> kinds() {
  using train::Advantage, train::Normalise;
  std::vector<Kind> all;
  for (const auto& [advantage, how] : {std::pair{"mean", Advantage::mean}, std::pair{"standard", Advantage::standard}}) {
    for (const auto& [normalise, by] :
         {std::pair{"tokens", Normalise::tokens}, std::pair{"sequence", Normalise::sequence}, std::pair{"constant", Normalise::constant}}) {
      Kind& kind = all.emplace_back(Kind{fmt::format("{}.{}", advantage, normalise), {}});
      kind.settings.advantage = how;
      kind.settings.normalise = by;
    }
  }
  const auto off = [&](const char* name) -> train::RlSettings& { return all.emplace_back(Kind{name, {}, true}).settings; };
  const auto clip = [](train::RlSettings& settings) {
    settings.clip_low = 0.2;
    settings.clip_high = 0.28;
  };
  clip(off("mean.clip"));
  train::RlSettings& gspo = off("mean.gspo");
  clip(gspo);
  gspo.ratio = train::Ratio::sequence;
  gspo.normalise = Normalise::sequence;
  off("mean.k3").kl = 0.3;
  train::RlSettings& unbiased = off("mean.unbiased");
  unbiased.kl = 0.3;
  unbiased.kl_kind = train::KlKind::unbiased;
  return all;
}

// Completions that are given, where training lets the model write them.
class Given : public train::RollOut, public train::RollOuts {
 public:
  Given(const GoldenRollOuts& golden, const store::SafetensorsFile& file, const Kind& kind) : golden_(golden), file_(file), kind_(kind) {
    kind_.settings.max_tokens = golden.max_tokens;
  }

  Result<void> prepare(device::Device&, std::span<const device::Buffer* const>, const train::StateLayout&) override { return {}; }
  Result<void> use(std::size_t) override { return {}; }
  Result<std::vector<data::Sample>> write(std::span<const data::Sample> prompts, std::uint64_t, const std::function<bool()>&) override {
    std::vector<data::Sample> written;
    for (const data::Sample& prompt : prompts) {
      const Group& group = golden_.groups[prompt.index];
      for (const double each : rl::advantages(group.rewards, kind_.settings.advantage)) advantages_.push_back(each);
      for (const std::vector<std::int32_t>& ids : group.completions) {
        data::Sample& one = written.emplace_back();
        one.ids = prompt.ids;
        one.ids.insert(one.ids.end(), ids.begin(), ids.end());
        one.labelled.assign(prompt.ids.size() - 1, 0);
        one.labelled.resize(one.labelled.size() + ids.size(), 1);
        prompts_.push_back(prompt.ids.size() - 1);
        tokens_ += static_cast<std::int64_t>(ids.size());
      }
    }
    return written;
  }
  std::optional<std::vector<data::Sample>> written(std::span<const data::Sample>, std::uint64_t) override { return std::nullopt; }
  Result<void> take_scores(std::span<const train::ScoredGroup>) override { return {}; }
  std::vector<std::vector<float>> weigh(const train::Logprobs& current, const train::Logprobs&) override {
    std::vector<std::vector<float>> all;
    for (std::size_t i = 0; i < current.size(); ++i) {
      const auto given = [&](const char* name) { return values_of(*file_.find(fmt::format("{}.{}", name, i))); };
      const std::vector<float> old = kind_.off_policy ? given("old") : current[i];
      const std::vector<float> reference = kind_.off_policy ? given("reference") : current[i];
      const rl::WeighedTokens weighed = rl::weigh_tokens(advantages_[i], {old, current[i], reference}, kind_.settings);
      std::vector<float>& row = all.emplace_back(prompts_[i], 0.0f);
      row.insert(row.end(), weighed.weights.begin(), weighed.weights.end());
    }
    return all;
  }
  void record(std::size_t, std::span<const std::vector<float>> trained, std::span<std::byte>) const override {
    for (const std::vector<float>& each : trained) logprobs.push_back(each);
  }
  std::vector<const device::Executable*> executables() const override { return {}; }

  std::int64_t group() const override { return static_cast<std::int64_t>(golden_.groups[0].completions.size()); }
  std::int64_t predictions_max() const override { return 18; }
  std::int64_t record_bytes() const override { return 1; }
  std::vector<program::Program> programs(std::int64_t) const override { return {}; }
  std::unique_ptr<train::RollOut> roll_out() const override { return nullptr; }
  std::vector<std::string> copies() const override { return {}; }
  bool copies_at(const std::string&, std::uint64_t) const override { return false; }
  std::uint64_t written_at(std::uint64_t step) const override { return step; }
  bool asks() const override { return false; }
  Result<Said> ask(std::span<const data::Sample>, std::span<const data::Sample>, const std::function<void()>&) const override { return Said{}; }
  Needs needs(std::uint64_t) const override { return {.current = true}; }
  bool ever_needs() const override { return true; }
  Step read(std::span<const std::byte* const>) const override {
    return {.tokens = tokens_,
            .mean = rl::mean_factor(tokens_, static_cast<std::int64_t>(prompts_.size()), kind_.settings.normalise),
            .silent = false,
            .facts = {}};
  }

  mutable std::vector<std::vector<float>> logprobs;  // by completion, as the training program has them

 private:
  const GoldenRollOuts& golden_;
  const store::SafetensorsFile& file_;
  Kind kind_;
  std::vector<double> advantages_;    // by completion
  std::vector<std::size_t> prompts_;  // predictions of its prompt
  std::int64_t tokens_ = 0;
};

// The largest |Δ| and the largest |gradient| of a tensor of the file, whose values lie somewhere in a parameter's.
struct Distance {
  float off = 0, most = 0;
};
Distance distance(const std::vector<float>& expected, std::span<const float> found) {
  EXPECT_EQ(expected.size(), found.size());
  Distance d;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    d.off = std::max(d.off, std::abs(expected[i] - found[i]));
    d.most = std::max(d.most, std::abs(expected[i]));
  }
  return d;
}

class RlGradient : public testing::TestWithParam<Kind> {};

TEST_P(RlGradient, IsThatOfGrpo) {
  const GoldenRollOuts golden = GoldenRollOuts::read();
  const auto source = store::ModelSource::open(folder().string());
  ASSERT_TRUE(source.ok()) << source.error().message;
  const model::Model& model = source->model();
  const auto file = store::SafetensorsFile::open(folder() / "gradients.safetensors");
  ASSERT_TRUE(file.ok()) << file.error().message;
  const auto device = device::Device::open({.backend = "cpu", .threads = 2, .isa = ""}).value();
  const auto state = train::State::create(*device, model, 1).value();
  for (std::size_t i = 0; i < model.parameters().size(); ++i) ASSERT_TRUE(source->read(i, state->weight(i)).ok());

  Given given(golden, *file, GetParam());
  train::Settings settings;
  settings.optimizer.clip = 0;
  settings.run.micro_batch = given.group();
  settings.run.batch = given.group() * static_cast<std::int64_t>(golden.groups.size());
  train::Engine engine(model, settings, given.predictions_max(), true);
  ASSERT_TRUE(engine.prepare(*device, *state).ok());
  ASSERT_TRUE(engine.state_changed().ok());
  std::vector<data::Sample> prompts;
  for (const Group& group : golden.groups) prompts.push_back(group.prompt);
  const auto rolled = engine.propose_rolled(given, given, prompts, {}, 0, [] { return false; });
  ASSERT_TRUE(rolled.ok()) << rolled.error().message;

  for (std::size_t i = 0; i < given.logprobs.size(); ++i) {
    const std::vector<float> expected = values_of(*file->find(fmt::format("logprob.{}", i)));
    EXPECT_LE(distance(expected, given.logprobs[i]).off, 1e-5f) << "completion " << i;
  }
  double squares = 0;
  Distance worst{0, 1};
  std::size_t compared = 0;
  for (const model::Parameter& parameter : model.parameters()) {
    if (parameter.kind != model::Parameter::Kind::trained) continue;
    auto gradient = engine.read_gradient(parameter.name);
    ASSERT_TRUE(gradient.ok()) << gradient.error().message;
    for (float& value : *gradient) value *= rolled->step.mean;
    const std::size_t part = gradient->size() / parameter.files.size();
    for (std::size_t k = 0; k < parameter.files.size(); ++k) {
      const store::TensorEntry* entry = file->find(GetParam().name + "." + parameter.files[k]);
      ASSERT_NE(entry, nullptr) << parameter.files[k];
      const std::vector<float> expected = values_of(*entry);
      const Distance d = distance(expected, std::span(*gradient).subspan(k * part, part));
      EXPECT_LE(d.off, 1e-5f * d.most) << parameter.files[k] << " relative " << d.off / d.most;
      EXPECT_GT(d.most, 0) << parameter.files[k] << ": a gradient of zero compares nothing";
      if (d.off * worst.most > worst.off * d.most) worst = d;
      for (const float value : expected) squares += static_cast<double>(value) * static_cast<double>(value);
      ++compared;
    }
  }
  std::printf("%s: %zu tensors, largest relative difference %.1e\n", GetParam().name.c_str(), compared,
              static_cast<double>(worst.off / worst.most));
  EXPECT_EQ(compared, (file->entries().size() - 3 * given.logprobs.size()) / kinds().size());
  const auto norm = engine.gradient_norm(rolled->step.mean);
  ASSERT_TRUE(norm.ok()) << norm.error().message;
  EXPECT_NEAR(static_cast<double>(*norm), std::sqrt(squares), 1e-5 * std::sqrt(squares));
}

INSTANTIATE_TEST_SUITE_P(Kinds, RlGradient, testing::ValuesIn(kinds()), [](const auto& tested) {
  std::string name = tested.param.name;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace godwit
