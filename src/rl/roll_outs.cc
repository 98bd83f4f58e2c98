#include "rl/roll_outs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "infer/generator.h"
#include "rl/advantage.h"

namespace godwit::rl {

namespace {

using train::RlSettings;

// The record of a prompt's group. Its bytes lie in memory that processes share.
struct Record {
  std::int64_t tokens = 0, thinking = 0;
  std::int64_t completions = 0, right = 0, well_formed = 0, finished = 0;
  double reward = 0;             // summed over the completions, as below
  double logprob = 0;            // over all tokens
  double ratio_deviation = 0;    // the largest |p by the training program / p by decoding − 1|
  std::int64_t ratios_off = 0;   // tokens whose two log-probabilities are not the same bits
  std::int64_t silent = 0;       // every completion weighs nothing
};
static_assert(std::is_trivially_copyable_v<Record>);

// What every process of a run has of it.
struct Shared {
  RlSettings settings;
  std::uint64_t seed = 0;
  program::Dtype dtype{};
  const model::Model* model = nullptr;
  std::optional<text::Tokenizer> tokenizer;
  data::DocumentTokens tokens;
  std::unique_ptr<data::Problems> problems;
  std::vector<std::pair<const Reward*, double>> rewards;
  std::int64_t prompt_tokens_max = 0;
};

class Writer : public train::RollOut {
 public:
  explicit Writer(const Shared& shared) : shared_(shared) {}

  Result<void> prepare(device::Device& device, std::span<const device::Buffer* const> states,
                       const std::unordered_map<std::string, std::int64_t>& weights) override {
    for (const device::Buffer* state : states) weights_.push_back(infer::Weights::over(*state, weights));
    device_ = &device;
    return {};
  }

  Result<void> use(std::size_t state) override {
    state_ = state;
    return generator_ ? generator_->use(weights_[state]) : Result<void>();
  }

  Result<std::vector<train::Written>> write(std::span<const data::Sample> prompts, const std::function<bool()>& interrupted) override {
    TRY(make_generator(static_cast<std::int64_t>(prompts.size())));
    const RlSettings& s = shared_.settings;
    std::vector<infer::Request> requests;
    for (const data::Sample& prompt : prompts) {
      for (std::int64_t k = 0; k < s.group; ++k) {
        infer::Request request;
        request.prompt = prompt.ids;
        request.max_tokens = s.max_tokens;
        request.sampling.temperature = 1;
        request.seed = shared_.seed;
        request.sample = prompt.index * static_cast<std::uint64_t>(s.group) + static_cast<std::uint64_t>(k);
        request.eos = shared_.tokens.eos;
        requests.push_back(std::move(request));
      }
    }
    const auto heed = [&](const infer::Event&) -> Result<void> {
      if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
      return {};
    };
    auto answered = generator_->generate(requests, heed);
    if (!answered.ok()) {
      generator_->abandon();
      return answered.error();
    }
    records_.clear();
    std::vector<train::Written> written;
    const auto group = static_cast<std::size_t>(s.group);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      TRY(weigh(prompts[i], std::span(*answered).subspan(i * group, group), written));
    }
    return written;
  }

  void record(std::size_t prompt, std::span<const std::vector<float>> trained, std::span<std::byte> bytes) const override {
    Noted noted = records_[prompt];
    for (std::size_t k = 0; k < trained.size(); ++k) {
      CHECK(trained[k].size() == noted.logprobs[k].size(), "{} tokens were decoded, {} trained on", noted.logprobs[k].size(), trained[k].size());
      for (std::size_t t = 0; t < trained[k].size(); ++t) {
        const float decoded = noted.logprobs[k][t];
        if (std::memcmp(&decoded, &trained[k][t], sizeof decoded) == 0) continue;
        ++noted.record.ratios_off;
        const double off = std::fabs(std::exp(static_cast<double>(trained[k][t]) - static_cast<double>(decoded)) - 1.0);
        noted.record.ratio_deviation = std::max(noted.record.ratio_deviation, off);
      }
    }
    std::memcpy(bytes.data(), &noted.record, sizeof noted.record);
  }

  std::vector<const device::Executable*> executables() const override {
    return generator_ ? generator_->executables() : std::vector<const device::Executable*>();
  }

 private:
  struct Noted {
    Record record;
    std::vector<std::vector<float>> logprobs;
  };

  // For so many prompts at once; the first order shows how many there are.
  Result<void> make_generator(std::int64_t prompts) {
    constexpr std::int64_t streams_most = 512;  // more wait until one of these has ended
    const std::int64_t streams = std::min(prompts * shared_.settings.group, streams_most);
    if (generator_ && streams <= streams_) return {};
    streams_ = streams;
    infer::GeneratorOptions options;
    options.dtype = shared_.dtype;
    options.streams = streams_;
    options.capacity = shared_.prompt_tokens_max + shared_.settings.max_tokens;
    options.programs = 24;  // every power of two of streams, and of prompt rows
    generator_.reset();
    TRY_ASSIGN(generator_, infer::Generator::create(*device_, *shared_.model, weights_[state_], options, std::nullopt));
    return {};
  }

  // Scores a prompt's group and says what its tokens weigh.
  Result<void> weigh(const data::Sample& prompt, std::span<const infer::Answer> answers, std::vector<train::Written>& written) {
    const RlSettings& s = shared_.settings;
    const data::Problem problem = problem_at(*shared_.problems, shared_.seed, prompt.index);
    Noted& noted = records_.emplace_back();
    Record& record = noted.record;
    std::vector<double> rewards;
    for (const infer::Answer& answer : answers) {
      TRY_ASSIGN(const Completion completion, read_completion(answer.ids, s.max_tokens, *shared_.tokenizer, shared_.tokens));
      const double score = completion.answer.empty() ? 0.0 : shared_.problems->score(problem, completion.answer);
      double reward = 0;
      for (const auto& [kind, weight] : shared_.rewards) reward += weight * kind->value(completion, score);
      rewards.push_back(reward);
      record.reward += reward;
      record.tokens += completion.tokens;
      record.thinking += completion.thinking;
      record.right += completion.well_formed() && score == 1.0;
      record.well_formed += completion.well_formed();
      record.finished += completion.finished;
      for (const float logprob : answer.logprobs) record.logprob += static_cast<double>(logprob);
      noted.logprobs.push_back(answer.logprobs);
    }
    record.completions = s.group;
    const std::vector<double> advantage = advantages(rewards, s.advantage);
    record.silent = std::ranges::all_of(advantage, [](double a) { return a == 0; });
    for (std::size_t k = 0; k < answers.size(); ++k) {
      const auto count = answers[k].ids.size();
      const float weight = token_weight(advantage[k], static_cast<std::int64_t>(count), s.max_tokens, s.normalise);
      train::Written one;
      one.sample.ids = prompt.ids;
      one.sample.ids.insert(one.sample.ids.end(), answers[k].ids.begin(), answers[k].ids.end());
      one.sample.labelled.assign(prompt.ids.size() - 1, 0);
      one.sample.labelled.insert(one.sample.labelled.end(), count, 1);
      one.weights.assign(prompt.ids.size() - 1, 0.0f);
      one.weights.insert(one.weights.end(), count, weight);
      written.push_back(std::move(one));
    }
    return {};
  }

  const Shared& shared_;
  device::Device* device_ = nullptr;
  std::vector<infer::Weights> weights_;  // by state
  std::size_t state_ = 0;
  std::int64_t streams_ = 0;
  std::unique_ptr<infer::Generator> generator_;
  std::vector<Noted> records_;  // by prompt
};

class GroupRollOuts : public train::RollOuts {
 public:
  explicit GroupRollOuts(Shared shared) : shared_(std::move(shared)) {}

  const Shared& shared() const { return shared_; }
  std::int64_t group() const override { return shared_.settings.group; }
  std::int64_t predictions_max() const override { return shared_.prompt_tokens_max + shared_.settings.max_tokens - 1; }
  std::int64_t record_bytes() const override { return sizeof(Record); }
  std::unique_ptr<train::RollOut> roll_out() const override { return std::make_unique<Writer>(shared_); }

  Step read(std::span<const std::byte* const> records) const override {
    Record all;
    for (const std::byte* each : records) {
      Record record;
      std::memcpy(&record, each, sizeof record);
      all.tokens += record.tokens;
      all.thinking += record.thinking;
      all.completions += record.completions;
      all.right += record.right;
      all.well_formed += record.well_formed;
      all.finished += record.finished;
      all.reward += record.reward;
      all.logprob += record.logprob;
      all.ratio_deviation = std::max(all.ratio_deviation, record.ratio_deviation);
      all.ratios_off += record.ratios_off;
      all.silent += record.silent;
    }
    const auto share = [&](double sum) { return sum / static_cast<double>(all.completions); };
    Step step;
    step.tokens = all.tokens;
    step.mean = mean_factor(all.tokens, all.completions, shared_.settings.normalise);
    step.silent = all.silent == static_cast<std::int64_t>(records.size());
    step.facts["reward"] = share(all.reward);
    step.facts["accuracy"] = share(static_cast<double>(all.right));
    step.facts["well_formed"] = share(static_cast<double>(all.well_formed));
    step.facts["length_mean"] = share(static_cast<double>(all.tokens));
    step.facts["thinking_mean"] = share(static_cast<double>(all.thinking));
    step.facts["cut_share"] = 1.0 - share(static_cast<double>(all.finished));
    step.facts["silent_groups"] = static_cast<double>(all.silent) / static_cast<double>(records.size());
    step.facts["entropy"] = -all.logprob / static_cast<double>(all.tokens);
    step.facts["ratio_deviation"] = all.ratio_deviation;
    step.facts["ratios_off"] = all.ratios_off;
    return step;
  }

 private:
  Shared shared_;
};

}  // namespace

Result<Completion> read_completion(std::span<const std::int32_t> ids, std::int64_t tokens_max, const text::Tokenizer& tokenizer,
                                   const data::DocumentTokens& tokens) {
  Completion completion;
  completion.tokens = static_cast<std::int64_t>(ids.size());
  completion.tokens_max = tokens_max;
  completion.finished = !ids.empty() && ids.back() == tokens.eos;
  completion.think_ends = std::ranges::count(ids, tokens.think_end);
  completion.thinking = std::ranges::find(ids, tokens.think_end) - ids.begin();
  // A vocabulary is padded: an id behind the thinking may be none of the tokenizer's, and what has one is an answer to nothing.
  const auto length = std::ranges::find(ids.rbegin(), ids.rend(), tokens.think_end) - ids.rbegin();
  const auto behind = ids.last(static_cast<std::size_t>(length));
  if (std::ranges::any_of(behind, [&](std::int32_t id) { return tokenizer.token_bytes(id).empty(); })) return completion;
  TRY_ASSIGN(const std::optional<std::string> answer, data::answer_of(ids, tokenizer));
  completion.answer = answer.value_or("");
  return completion;
}

Result<train::OpenedRollOuts> open_roll_outs(const Config& config, const train::Settings& settings, const model::Model& model,
                                             const text::Tokenizer* tokenizer) {
  Shared shared;
  TRY_ASSIGN(shared.settings, train::read_rl_settings(config));
  const std::string place = config.origin("rl", "task");
  if (tokenizer == nullptr) return input_error("{}: prompts are texts, and the model has no tokenizer", place);
  TRY_ASSIGN(shared.tokens, data::document_tokens(*tokenizer));
  shared.seed = settings.run.seed;
  shared.dtype = settings.run.dtype;
  shared.model = &model;
  shared.tokenizer = *tokenizer;
  TRY_ASSIGN(shared.problems, data::open_problems({shared.settings.task, shared.settings.options, shared.seed, place}));
  for (const auto& [name, weight] : shared.settings.rewards) {
    TRY_ASSIGN(const Reward* reward, find_reward(name, config.origin("rl", "rewards")));
    shared.rewards.emplace_back(reward, weight);
  }
  shared.prompt_tokens_max = shared.problems->longest().prompt + 1;
  if (shared.prompt_tokens_max + shared.settings.max_tokens > model.context()) {
    return input_error("{}: prompts of up to {} tokens and {} new ones do not fit the model's max_position_embeddings = {}",
                       config.origin("rl", "max_tokens"), shared.prompt_tokens_max, shared.settings.max_tokens, model.context());
  }
  train::OpenedRollOuts opened;
  auto roll_outs = std::make_shared<GroupRollOuts>(std::move(shared));
  opened.prompts = make_prompts(*roll_outs->shared().problems, *roll_outs->shared().tokenizer, settings.run.seed);
  opened.roll_outs = std::move(roll_outs);
  return opened;
}

}  // namespace godwit::rl
