// What could go wrong: letters pass for a control token; a completion the tokenizer cannot spell ends the run; what decoding and training
// disagree on goes unseen; a config that cannot be is begun.
#include "rl/roll_outs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "infer/test_model.h"
#include "train/engine.h"
#include "train/run.h"
#include "train/setup.h"

namespace godwit::rl {
namespace {

using testing::HasSubstr;

const text::Tokenizer& tokenizer() {
  static const text::Tokenizer characters = text::Tokenizer::characters();
  return characters;
}

Completion read(const std::vector<std::int32_t>& ids) {
  return read_completion(ids, 12, tokenizer(), data::document_tokens(tokenizer()).value()).value();
}

// What follows a prompt, its control tokens in letters.
std::vector<std::int32_t> ids(std::string_view text) {
  return tokenizer().encode(text).value();
}

const std::string end = "<｜end▁of▁sentence｜>";

TEST(ReadCompletion, OneThoughtOneAnswerAndAnEnd) {
  const Completion c = read(ids("0110</think> 0 " + end));
  EXPECT_TRUE(c.well_formed());
  EXPECT_EQ(c.answer, "0");
  EXPECT_EQ(c.thinking, 4);
  EXPECT_EQ(c.tokens, 9);
  EXPECT_EQ(c.tokens_max, 12);
  EXPECT_EQ(read(ids("</think>0" + end)).thinking, 0);
  EXPECT_TRUE(read(ids("</think>0" + end)).well_formed());
}

TEST(ReadCompletion, WhatLacksAPartIsNotWellFormed) {
  const Completion unended = read(ids("0110" + end));
  EXPECT_EQ(unended.think_ends, 0);
  EXPECT_EQ(unended.answer, "");
  EXPECT_EQ(unended.thinking, 5) << "all of it";
  EXPECT_FALSE(unended.well_formed());
  const Completion twice = read(ids("01</think>0</think>1" + end));
  EXPECT_EQ(twice.think_ends, 2);
  EXPECT_EQ(twice.answer, "1");
  EXPECT_EQ(twice.thinking, 2);
  EXPECT_FALSE(twice.well_formed());
  const Completion cut = read(ids("01</think>0"));
  EXPECT_FALSE(cut.finished);
  EXPECT_EQ(cut.answer, "0");
  EXPECT_FALSE(cut.well_formed());
  for (const std::string& text : {"01</think>" + end, "01</think>  \n" + end}) {
    const Completion empty = read(ids(text));
    EXPECT_EQ(empty.answer, "");
    EXPECT_TRUE(empty.finished);
    EXPECT_FALSE(empty.well_formed());
  }
}

TEST(ReadCompletion, LettersAreNoControlTokens) {
  std::vector<std::int32_t> spelled = tokenizer().encode("01</think>0", {.added_tokens = false}).value();
  spelled.push_back(*tokenizer().eos());
  const Completion c = read(spelled);
  EXPECT_EQ(c.think_ends, 0);
  EXPECT_EQ(c.answer, "");
  EXPECT_FALSE(c.well_formed());
}

TEST(ReadCompletion, AnIdWithoutATokenIsAnswerToNothing) {
  // Vocabularies are padded: a model may write ids that its tokenizer does not have.
  const text::Tokenizer bytes = text::Tokenizer::bytes();
  const data::DocumentTokens tokens = data::document_tokens(bytes).value();
  const std::int32_t none = bytes.vocab_size() + 1;
  const std::int32_t seven = bytes.encode("7").value()[0];
  const auto behind = read_completion(std::vector{tokens.think_end, seven, none, tokens.eos}, 12, bytes, tokens);
  ASSERT_TRUE(behind.ok()) << behind.error().message;
  EXPECT_EQ(behind->answer, "") << "7 with something behind it is not 7";
  EXPECT_FALSE(behind->well_formed());
  const auto within = read_completion(std::vector{none, tokens.think_end, seven, tokens.eos}, 12, bytes, tokens);
  ASSERT_TRUE(within.ok()) << within.error().message;
  EXPECT_EQ(within->answer, "7");
  EXPECT_TRUE(within->well_formed());
}

constexpr const char* sound_toml = R"(
[rl]
task = "parity"
options = { bits = 3 }
prompts = 3
group = 4
max_tokens = 8
rewards = { format = 1.0, length = 0.5 }
[run]
steps = 1
seed = 5
)";

Config config(const std::vector<std::string>& sets = {}, std::string_view toml = sound_toml) {
  const auto keys = train::all_config_keys();
  const auto sections = train::open_config_sections();
  return Config::parse(toml, "rl.toml", sets, keys, sections).value();
}

std::unique_ptr<model::Model> make_model() {
  return infer::TestModel::make({{"vocab_size", 64}});
}

Result<train::OpenedRollOuts> open(const Config& config, const model::Model& model, const text::Tokenizer* with = &tokenizer()) {
  return open_roll_outs(config, train::read_settings(config).value(), model, with);
}

TEST(OpenRollOuts, RefusesWhatCannotBeAndNamesTheNearest) {
  const auto model = make_model();
  const auto refusal = [&](const std::vector<std::string>& sets, const text::Tokenizer* with = &tokenizer()) {
    const auto opened = open(config(sets), *model, with);
    EXPECT_FALSE(opened.ok());
    if (opened.ok()) return std::string();
    EXPECT_EQ(opened.error().kind, ErrorKind::input);
    return opened.error().message;
  };
  EXPECT_THAT(refusal({"rl.task=\"partiy\""}), HasSubstr("did you mean parity"));
  EXPECT_THAT(refusal({"rl.task=\"partiy\""}), HasSubstr("--set rl.task"));
  EXPECT_THAT(refusal({"rl.options={bitz=3}"}), HasSubstr("bits"));
  EXPECT_THAT(refusal({"rl.rewards={formt=1.0}"}), HasSubstr("did you mean format"));
  EXPECT_THAT(refusal({"rl.rewards={format=\"much\"}"}), HasSubstr("the weight of the reward format is \"much\", which is no number"));
  EXPECT_THAT(refusal({"rl.rewards={}"}), HasSubstr("there is no reward"));
  EXPECT_THAT(refusal({}, nullptr), HasSubstr("the model has no tokenizer"));
  Json file = parse_json(tokenizer().json(), "characters").value();
  auto& added = file["added_tokens"];
  added.erase(added.size() - 1);
  const auto without = text::Tokenizer::from_json(write_json(file), "without").value();
  EXPECT_THAT(refusal({}, &without), HasSubstr("the tokenizer has no </think>"));
}

TEST(OpenRollOuts, APromptAndItsCompletionFitTheContextOrAreRefused) {
  // Prompts of 3 bits are 5 ids: three digits, the equals sign and <think>.
  const auto model = make_model();
  EXPECT_EQ(model->context(), 640);
  EXPECT_TRUE(open(config({"rl.max_tokens=635"}), *model).ok());
  const auto refused = open(config({"rl.max_tokens=636"}), *model);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("--set rl.max_tokens: prompts of up to 5 tokens and 636 new ones do not fit the model's "
                                                 "max_position_embeddings = 640"));
}

// Everything a step of roll-outs needs, in one process.
class Rolling {
 public:
  explicit Rolling(const std::vector<std::string>& sets = {}, int threads = 1)
      : device_(device::Device::open({.backend = "cpu", .threads = threads, .isa = ""}).value()) {
    setup_.config = config(sets);
    setup_.settings = train::read_settings(setup_.config).value();
    setup_.model = make_model();
    train::OpenedRollOuts opened = open(setup_.config, *setup_.model).value();
    setup_.dataset = std::move(opened.prompts);
    setup_.roll_outs = std::move(opened.roll_outs);
    state_ = train::State::create(*device_, *setup_.model, 1).value();
    for (std::size_t i = 0; i < setup_.model->parameters().size(); ++i) {
      const std::vector<float> fresh = model::initial_values(*setup_.model, i, 7);
      std::ranges::copy(fresh, state_->weight(i).begin());
    }
    engine_ = std::make_unique<train::Engine>(*setup_.model, setup_.program_settings(), setup_.predictions_max(), false);
    engine_->prepare(*device_, *state_).value();
    engine_->state_changed().value();
  }

  // A step's first prompts, written to by `roll_out`.
  train::Engine::Rolled step(train::RollOut& roll_out, std::int64_t prompts) {
    const device::Buffer* const states[] = {&state_->buffer()};
    roll_out.prepare(*device_, states, state_->layout()).value();
    roll_out.use(0).value();
    data::Cursor cursor = setup_.dataset->begin();
    const auto samples = setup_.dataset->next(cursor, prompts).value();
    return engine_->propose_rolled(*setup_.roll_outs, roll_out, samples, {}, 0, [] { return false; }).value();
  }
  const train::Setup& setup() const { return setup_; }
  train::Engine& engine() { return *engine_; }

 private:
  std::unique_ptr<device::Device> device_;
  train::Setup setup_;
  std::unique_ptr<train::State> state_;
  std::unique_ptr<train::Engine> engine_;
};

TEST(RollOuts, TrainingGivesEveryTokenTheProbabilityItWasDrawnWith) {
  for (const char* dtype : {"run.dtype=\"f32\"", "run.dtype=\"bf16\""}) {
    Rolling rolling({dtype});
    const auto rolled = rolling.step(*rolling.setup().roll_outs->roll_out(), 3);
    EXPECT_EQ(rolled.step.facts["ratios_off"].get<std::int64_t>(), 0) << dtype;
    EXPECT_EQ(rolled.step.facts["ratio_deviation"].get<double>(), 0) << dtype;
    EXPECT_GE(rolled.step.tokens, 12);
    EXPECT_FALSE(rolled.step.silent) << "completions of unlike length are rewarded unlike";
  }
}

// Passes everything on, but one log-probability that training has computed is the next float.
class OneUlpOff : public train::RollOut {
 public:
  OneUlpOff(std::unique_ptr<train::RollOut> sound, std::size_t prompt, bool towards_zero)
      : sound_(std::move(sound)), prompt_(prompt), towards_(towards_zero ? 0.0f : -INFINITY) {}
  Result<void> prepare(device::Device& device, std::span<const device::Buffer* const> states, const train::StateLayout& layout) override {
    return sound_->prepare(device, states, layout);
  }
  Result<void> use(std::size_t state) override { return sound_->use(state); }
  Result<std::vector<data::Sample>> write(std::span<const data::Sample> prompts, std::uint64_t step,
                                          const std::function<bool()>& interrupted) override {
    return sound_->write(prompts, step, interrupted);
  }
  std::vector<std::vector<float>> weigh(const train::Logprobs& current, const train::Logprobs& reference) override {
    return sound_->weigh(current, reference);
  }
  std::optional<std::vector<data::Sample>> written(std::span<const data::Sample> prompts, std::uint64_t step) override {
    return sound_->written(prompts, step);
  }
  Result<void> take_scores(std::span<const train::ScoredGroup> groups) override { return sound_->take_scores(groups); }
  void record(std::size_t prompt, std::span<const std::vector<float>> trained, std::span<std::byte> record) const override {
    std::vector<std::vector<float>> off(trained.begin(), trained.end());
    if (prompt == prompt_) off.back().back() = std::nextafter(off.back().back(), towards_);
    sound_->record(prompt, off, record);
  }
  std::vector<const device::Executable*> executables() const override { return sound_->executables(); }

 private:
  std::unique_ptr<train::RollOut> sound_;
  std::size_t prompt_;
  float towards_;
};

TEST(RollOuts, OneUlpOfOneTokenIsSeen) {
  for (const std::size_t prompt : {0, 2}) {
    for (const bool towards_zero : {false, true}) {
      Rolling rolling;
      OneUlpOff off(rolling.setup().roll_outs->roll_out(), prompt, towards_zero);
      const auto rolled = rolling.step(off, 3);
      EXPECT_EQ(rolled.step.facts["ratios_off"].get<std::int64_t>(), 1);
      const auto deviation = rolled.step.facts["ratio_deviation"].get<double>();
      EXPECT_GT(deviation, 0);
      EXPECT_LT(deviation, 1e-6);
    }
  }
}

TEST(RollOuts, MoreStreamsThanRunAtOnceDoNotPrepareEverythingAnew) {
  Rolling rolling({"rl.group=576", "rl.max_tokens=2"});
  const auto roll_out = rolling.setup().roll_outs->roll_out();
  (void)rolling.step(*roll_out, 1);
  data::Cursor cursor = rolling.setup().dataset->begin();
  const auto samples = rolling.setup().dataset->next(cursor, 1).value();
  const auto before = roll_out->executables();
  EXPECT_EQ(roll_out->write(samples, 0, [] { return false; }).value().size(), 576u);
  EXPECT_THAT(roll_out->executables(), testing::UnorderedElementsAreArray(before));
}

TEST(RollOuts, AStepIsTheSameWhoeverWritesIt) {
  Rolling one, three({}, 3);
  const auto a = one.step(*one.setup().roll_outs->roll_out(), 3);
  const auto b = three.step(*three.setup().roll_outs->roll_out(), 3);
  EXPECT_EQ(write_json(a.step.facts), write_json(b.step.facts));
  for (const model::Parameter& parameter : one.setup().model->parameters()) {
    if (parameter.kind != model::Parameter::Kind::trained) continue;
    EXPECT_EQ(one.engine().read_gradient(parameter.name).value(), three.engine().read_gradient(parameter.name).value()) << parameter.name;
  }
}

}  // namespace
}  // namespace godwit::rl
