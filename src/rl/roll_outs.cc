#include "rl/roll_outs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>

#include "base/random.h"
#include "infer/generator.h"
#include "rl/advantage.h"
#include "rl/command_scores.h"

namespace godwit::rl {

namespace {

using train::RlSettings;

// The record of a prompt's group. Its bytes lie in memory that processes share.
struct Record {
  std::int64_t tokens = 0, thinking = 0;
  std::int64_t completions = 0, right = 0, well_formed = 0, finished = 0;
  double reward = 0;            // summed over the completions, as below
  double logprob = 0;           // over all tokens
  double ratio_deviation = 0;   // the largest |p by the training program / p by decoding − 1|
  std::int64_t ratios_off = 0;  // tokens whose two log-probabilities are not the same bits
  std::int64_t silent = 0;      // every completion weighs nothing
  std::int64_t clipped = 0;     // tokens
  std::int64_t resampled = 0;   // prompts that were given up for another
  double kl = 0;                // over all tokens
  double outside = 0;           // scores of the program, summed over the completions
  // Its first completion, where the step keeps any for people: so many ids, which follow the record, of the stream's prompt.
  std::int64_t kept_ids = 0;
  std::uint64_t kept_prompt = 0;
  double kept_reward = 0;
  std::int64_t kept_right = 0;
};
static_assert(std::is_trivially_copyable_v<Record> && sizeof(Record) == 19 * 8, "no padding: proposals are compared by their bytes");
constexpr std::size_t kept_samples = 4;  // of the prompts of a step that keeps any

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
  bool asks = false;  // a reward comes from outside

  // By the problem's verifier.
  [[nodiscard]] double score(const data::Problem& problem, const Completion& completion) const {
    return completion.answer.empty() ? 0.0 : problems->score(problem, completion.answer);
  }
  // Steps that learn from the same completions are numbered from 0.
  [[nodiscard]] std::int64_t epoch(std::uint64_t step) const { return static_cast<std::int64_t>(step) % settings.epochs; }
  // Whether some completions of this step are kept for people.
  [[nodiscard]] bool keeps(std::uint64_t step) const {
    const auto number = static_cast<std::int64_t>(step) + 1;
    return settings.samples_every > 0 && (number == 1 || number % settings.samples_every == 0);
  }
  // How completions to so many prompts at once are written.
  [[nodiscard]] infer::GeneratorOptions writing(std::int64_t prompts) const {
    constexpr std::int64_t streams_most = 512;  // more wait until one of these has ended
    infer::GeneratorOptions options;
    options.dtype = dtype;
    options.capacity = std::min(prompt_tokens_max + settings.max_tokens, model->context());
    options.streams = infer::streams_at_once(*model, dtype, options.capacity, std::min(prompts * settings.group, streams_most));
    options.programs = 24;  // every power of two of streams, and of prompt rows
    return options;
  }
  // Whether the reference is the model as it is when this step begins.
  [[nodiscard]] bool refreshes(std::uint64_t step) const {
    return settings.reference_every > 0 && static_cast<std::int64_t>(step) % settings.reference_every == 0;
  }
};

// From a prompt's place in the stream to that of the one that stands in for it: no stream is so long.
constexpr std::uint64_t another_prompt = std::uint64_t{1} << 40;

// The copies a state may carry: of the model that wrote the present completions, and of the reference.
constexpr const char* old_copies = "old.";
constexpr const char* reference_copies = "reference.";

class Writer : public train::RollOut {
 public:
  explicit Writer(const Shared& shared) : shared_(shared) {}

  Result<void> prepare(device::Device& device, std::span<const device::Buffer* const> states, const train::StateLayout& layout) override {
    for (const device::Buffer* state : states) {
      weights_.push_back(infer::Weights::over(*state, layout.weights()));
      if (shared_.settings.epochs > 1) old_weights_.push_back(infer::Weights::over(*state, layout.weights(old_copies)));
    }
    device_ = &device;
    return {};
  }

  Result<void> use(std::size_t state) override {
    state_ = state;
    writing_ = nullptr;  // what it holds has changed
    kept_.reset();
    return {};
  }

  Result<std::vector<data::Sample>> write(std::span<const data::Sample> prompts, std::uint64_t step,
                                          const std::function<bool()>& interrupted) override {
    step_ = step;
    kept_.reset();
    TRY(write_by(shared_.epoch(step) == 0 ? weights_[state_] : old_weights_[state_], static_cast<std::int64_t>(prompts.size())));
    const auto group = static_cast<std::size_t>(shared_.settings.group);
    std::vector<data::Sample> asked(prompts.begin(), prompts.end());
    noted_.assign(prompts.size(), {});
    std::vector<data::Sample> written(prompts.size() * group);
    std::vector<std::size_t> open(prompts.size());
    std::iota(open.begin(), open.end(), std::size_t{0});
    for (std::int64_t attempt = 0; !open.empty(); ++attempt) {
      TRY_ASSIGN(const std::vector<infer::Answer> answers, answer(asked, open, interrupted));
      std::vector<std::size_t> equal;
      for (std::size_t i = 0; i < open.size(); ++i) {
        const std::size_t place = open[i];
        const std::span<data::Sample> to = std::span(written).subspan(place * group, group);
        const std::span<const infer::Answer> of_place = std::span(answers).subspan(i * group, group);
        lay_out(asked[place], of_place, to);
        if (shared_.asks) continue;
        TRY(judge(asked[place], of_place, {}, noted_[place]));
        noted_[place].record.resampled = attempt;
        if (std::ranges::all_of(noted_[place].advantages, [](double each) { return each == 0; })) equal.push_back(place);
      }
      if (shared_.asks) kept_ = Kept{{prompts.begin(), prompts.end()}, answers, written, false};
      if (attempt == shared_.settings.resample) break;
      open = std::move(equal);
      for (const std::size_t place : open) {
        data::Sample& other = asked[place];
        other.index = prompts[place].index + (static_cast<std::uint64_t>(attempt) + 1) * another_prompt;
        TRY_ASSIGN(other.ids, data::prompt_ids(problem_at(*shared_.problems, shared_.seed, other.index), *shared_.tokenizer));
      }
    }
    return written;
  }

  std::optional<std::vector<data::Sample>> written(std::span<const data::Sample> prompts, std::uint64_t step) override {
    const auto same = [](const data::Sample& a, const data::Sample& b) { return a.index == b.index; };
    if (!kept_ || kept_->taken || step != step_ || !std::ranges::equal(kept_->prompts, prompts, same)) return std::nullopt;
    kept_->taken = true;
    return kept_->samples;
  }

  Result<void> take_scores(std::span<const train::ScoredGroup> groups) override {
    CHECK(kept_ && groups.size() == kept_->prompts.size(), "{} scored groups of {} prompts", groups.size(),
          kept_ ? kept_->prompts.size() : 0);
    const auto group = static_cast<std::size_t>(shared_.settings.group);
    for (std::size_t i = 0; i < groups.size(); ++i) {
      TRY(judge(kept_->prompts[i], std::span(kept_->answers).subspan(i * group, group), groups[i].scores, noted_[i]));
    }
    return {};
  }

  std::vector<std::vector<float>> weigh(const train::Logprobs& current, const train::Logprobs& reference) override {
    std::vector<std::vector<float>> all;
    for (Noted& noted : noted_) {
      bool silent = true;
      for (std::size_t k = 0; k < noted.logprobs.size(); ++k) {
        const std::size_t place = all.size();
        Policies policies{noted.logprobs[k], current.empty() ? noted.logprobs[k] : current[place], {}};
        // At a step that makes the model its reference, the two are one.
        if (shared_.settings.kl > 0) policies.reference = reference.empty() ? policies.current : std::span<const float>(reference[place]);
        WeighedTokens weighed = weigh_tokens(noted.advantages[k], policies, shared_.settings);
        if (shared_.settings.mask_cut && noted.cut[k]) std::ranges::fill(weighed.weights, 0.0f);
        silent = silent && std::ranges::all_of(weighed.weights, [](float weight) { return weight == 0; });
        noted.record.clipped += weighed.clipped;
        noted.record.kl += weighed.kl;
        std::vector<float> row(static_cast<std::size_t>(noted.prompt_predictions), 0.0f);
        row.insert(row.end(), weighed.weights.begin(), weighed.weights.end());
        all.push_back(std::move(row));
      }
      noted.record.silent = silent;
    }
    return all;
  }

  void record(std::size_t prompt, std::span<const std::vector<float>> trained, std::span<std::byte> bytes) const override {
    Noted noted = noted_[prompt];
    // Only in the first epoch must the two be one: later the model is another than the one that wrote.
    if (shared_.epoch(step_) != 0) trained = {};
    for (std::size_t k = 0; k < trained.size(); ++k) {
      CHECK(trained[k].size() == noted.logprobs[k].size(), "{} tokens were decoded, {} trained on", noted.logprobs[k].size(),
            trained[k].size());
      for (std::size_t t = 0; t < trained[k].size(); ++t) {
        const float decoded = noted.logprobs[k][t];
        if (std::memcmp(&decoded, &trained[k][t], sizeof decoded) == 0) continue;
        ++noted.record.ratios_off;
        const double off = std::fabs(std::exp(static_cast<double>(trained[k][t]) - static_cast<double>(decoded)) - 1.0);
        noted.record.ratio_deviation = std::max(noted.record.ratio_deviation, off);
      }
    }
    if (shared_.keeps(step_)) {
      noted.record.kept_ids = static_cast<std::int64_t>(noted.first.size());
      std::memcpy(bytes.data() + sizeof noted.record, noted.first.data(), noted.first.size() * sizeof noted.first[0]);
    }
    std::memcpy(bytes.data(), &noted.record, sizeof noted.record);
  }

  std::vector<const device::Executable*> executables() const override {
    return generator_ ? generator_->executables() : std::vector<const device::Executable*>();
  }

 private:
  struct Noted {  // of a prompt's group
    Record record;
    std::int64_t prompt_predictions = 0;
    train::Logprobs logprobs;  // by completion and token
    std::vector<double> advantages;
    std::vector<bool> cut;
    std::vector<std::int32_t> first;  // completion
  };

  // The groups of the prompts at these places.
  Result<std::vector<infer::Answer>> answer(std::span<const data::Sample> prompts, std::span<const std::size_t> places,
                                            const std::function<bool()>& interrupted) {
    std::vector<infer::Request> requests;
    for (const std::size_t place : places) {
      for (std::int64_t k = 0; k < shared_.settings.group; ++k) {
        infer::Request request;
        request.prompt = prompts[place].ids;
        request.max_tokens = shared_.settings.max_tokens;
        request.sampling.temperature = 1;
        request.seed = shared_.seed;
        request.sample = completion_number(prompts[place], static_cast<std::size_t>(k));
        request.eos = shared_.tokens.eos;
        requests.push_back(std::move(request));
      }
    }
    const auto heed = [&](const infer::Event&) -> Result<void> {
      if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
      return {};
    };
    auto answered = generator_->generate(requests, heed);
    if (!answered.ok()) generator_->abandon();
    return answered;
  }

  // Of all the run's completions.
  [[nodiscard]] std::uint64_t completion_number(const data::Sample& prompt, std::size_t place) const {
    return prompt.index * static_cast<std::uint64_t>(shared_.settings.group) + place;
  }

  // The next completions are written by these weights, to so many prompts at once; the first order shows how many there are.
  Result<void> write_by(const infer::Weights& weights, std::int64_t prompts) {
    const infer::GeneratorOptions options = shared_.writing(prompts);
    if (!generator_ || streams_ < options.streams) {
      streams_ = options.streams;
      generator_.reset();
      TRY_ASSIGN(generator_, infer::Generator::create(*device_, *shared_.model, weights, options, std::nullopt));
    } else if (writing_ != &weights) {
      TRY(generator_->use(weights));
    }
    writing_ = &weights;
    return {};
  }

  // What is learned from: prompts with what was written to them, of which that is labelled.
  static void lay_out(const data::Sample& prompt, std::span<const infer::Answer> answers, std::span<data::Sample> written) {
    for (std::size_t k = 0; k < answers.size(); ++k) {
      data::Sample& one = written[k];
      one = {};
      one.ids = prompt.ids;
      one.ids.insert(one.ids.end(), answers[k].ids.begin(), answers[k].ids.end());
      one.labelled.assign(prompt.ids.size() - 1, 0);
      one.labelled.insert(one.labelled.end(), answers[k].ids.size(), 1);
    }
  }

  // Rewards a prompt's group. `outside`: by completion, empty where nobody is asked.
  Result<void> judge(const data::Sample& prompt, std::span<const infer::Answer> answers, std::span<const double> outside,
                     Noted& noted) const {
    const RlSettings& s = shared_.settings;
    const data::Problem problem = problem_at(*shared_.problems, shared_.seed, prompt.index);
    noted = {};
    Record& record = noted.record;
    noted.prompt_predictions = prompt.predictions();
    std::vector<double> rewards;
    for (const infer::Answer& answer : answers) {
      TRY_ASSIGN(Completion completion, read_completion(answer.ids, s.max_tokens, *shared_.tokenizer, shared_.tokens));
      completion.chance = RandomStream(shared_.seed, Purpose::reward, completion_number(prompt, noted.logprobs.size())).f64(0);
      if (!outside.empty()) completion.outside = outside[noted.logprobs.size()];
      completion.prompt = problem.prompt;
      TRY_ASSIGN(completion.thought,
                 text_of(std::span(answer.ids).first(static_cast<std::size_t>(completion.thinking)), *shared_.tokenizer));
      const double score = shared_.score(problem, completion);
      double reward = 0;
      for (const auto& [kind, weight] : shared_.rewards) reward += weight * kind->value(completion, score);
      if (rewards.empty()) {
        noted.first = answer.ids;
        record.kept_prompt = prompt.index;
        record.kept_reward = reward;
        record.kept_right = completion.well_formed() && score == 1.0;
      }
      rewards.push_back(reward);
      record.reward += reward;
      record.outside += completion.outside;
      record.tokens += completion.tokens;
      record.thinking += completion.thinking;
      record.right += completion.well_formed() && score == 1.0;
      record.well_formed += completion.well_formed();
      record.finished += completion.finished;
      for (const float logprob : answer.logprobs) record.logprob += static_cast<double>(logprob);
      noted.logprobs.push_back(answer.logprobs);
      noted.cut.push_back(!completion.finished);
    }
    record.completions = s.group;
    noted.advantages = advantages(rewards, s.advantage);
    return {};
  }

  const Shared& shared_;
  device::Device* device_ = nullptr;
  std::vector<infer::Weights> weights_, old_weights_;  // by state
  std::size_t state_ = 0;
  std::uint64_t step_ = 0;
  const infer::Weights* writing_ = nullptr;  // what the generator has; null: it must be told
  std::int64_t streams_ = 0;
  std::unique_ptr<infer::Generator> generator_;
  std::vector<Noted> noted_;  // by prompt
  // Where rewards come from outside: what was written and can be rewarded when they are there.
  struct Kept {
    std::vector<data::Sample> prompts;
    std::vector<infer::Answer> answers;
    std::vector<data::Sample> samples;
    bool taken = false;
  };
  std::optional<Kept> kept_;
};

class GroupRollOuts : public train::RollOuts {
 public:
  explicit GroupRollOuts(Shared shared) : shared_(std::move(shared)) {}

  const Shared& shared() const { return shared_; }
  std::int64_t group() const override { return shared_.settings.group; }
  std::int64_t predictions_max() const override { return shared_.prompt_tokens_max + shared_.settings.max_tokens - 1; }
  std::int64_t record_bytes() const override {
    return static_cast<std::int64_t>(sizeof(Record)) + (shared_.settings.samples_every > 0 ? shared_.settings.max_tokens * 4 : 0);
  }
  std::unique_ptr<train::RollOut> roll_out() const override { return std::make_unique<Writer>(shared_); }
  std::vector<program::Program> programs(std::int64_t prompts) const override {
    return infer::Generator::all_programs(*shared_.model, shared_.writing(prompts));
  }

  std::vector<std::string> copies() const override {
    std::vector<std::string> copies;
    if (shared_.settings.epochs > 1) copies.emplace_back(old_copies);
    if (shared_.settings.kl > 0) copies.emplace_back(reference_copies);
    return copies;
  }
  bool copies_at(const std::string& prefix, std::uint64_t step) const override {
    return prefix == old_copies ? shared_.epoch(step) == 0 : shared_.refreshes(step);
  }
  std::uint64_t written_at(std::uint64_t step) const override { return step - static_cast<std::uint64_t>(shared_.epoch(step)); }
  bool asks() const override { return shared_.asks; }
  Result<Said> ask(std::span<const data::Sample> prompts, std::span<const data::Sample> completions,
                   const std::function<void()>& beat) const override {
    const auto group = static_cast<std::size_t>(shared_.settings.group);
    std::vector<Json> lines;
    for (std::size_t i = 0; i < completions.size(); ++i) {
      const data::Sample& prompt = prompts[i / group];
      const data::Problem problem = problem_at(*shared_.problems, shared_.seed, prompt.index);
      const std::span<const std::int32_t> ids = std::span(completions[i].ids).subspan(prompt.ids.size());
      TRY_ASSIGN(const Completion completion, read_completion(ids, shared_.settings.max_tokens, *shared_.tokenizer, shared_.tokens));
      TRY_ASSIGN(Json line, command_line(problem, completion, ids, shared_.score(problem, completion), *shared_.tokenizer));
      lines.push_back(std::move(line));
    }
    TRY_ASSIGN(CommandScores scores, ask_command(shared_.settings, lines, beat));
    Said said;
    for (std::size_t i = 0; i < scores.scores.size(); ++i) {
      if (i % group == 0) said.scores.emplace_back();
      said.scores.back().push_back(scores.scores[i]);
    }
    said.warnings = std::move(scores.warnings);
    said.unconfined = std::move(scores.unconfined);
    return said;
  }
  Needs needs(std::uint64_t step) const override {
    return {shared_.epoch(step) != 0, shared_.settings.kl > 0 && !shared_.refreshes(step) ? reference_copies : ""};
  }
  bool ever_needs() const override { return shared_.settings.epochs > 1 || shared_.settings.kl > 0; }

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
      all.clipped += record.clipped;
      all.resampled += record.resampled;
      all.kl += record.kl;
      all.outside += record.outside;
    }
    const auto share = [&](double sum) { return sum / static_cast<double>(all.completions); };
    Step step;
    step.tokens = all.tokens;
    step.mean = mean_factor(all.tokens, all.completions, shared_.settings.normalise);
    step.silent = all.silent == static_cast<std::int64_t>(records.size());
    step.facts["reward"] = share(all.reward);
    if (shared_.asks) step.facts["command"] = share(all.outside);
    step.facts["accuracy"] = share(static_cast<double>(all.right));
    step.facts["well_formed"] = share(static_cast<double>(all.well_formed));
    step.facts["length_mean"] = share(static_cast<double>(all.tokens));
    step.facts["thinking_mean"] = share(static_cast<double>(all.thinking));
    step.facts["cut_share"] = 1.0 - share(static_cast<double>(all.finished));
    step.facts["silent_groups"] = static_cast<double>(all.silent) / static_cast<double>(records.size());
    step.facts["entropy"] = -all.logprob / static_cast<double>(all.tokens);
    if (shared_.settings.clip_low > 0 || shared_.settings.clip_high > 0) {
      step.facts["clip_share"] = static_cast<double>(all.clipped) / static_cast<double>(all.tokens);
    }
    if (shared_.settings.resample > 0) step.facts["resampled"] = all.resampled;
    if (shared_.settings.kl > 0) step.facts["kl"] = all.kl / static_cast<double>(all.tokens);
    step.facts["ratio_deviation"] = all.ratio_deviation;
    step.facts["ratios_off"] = all.ratios_off;
    for (std::size_t i = 0; i < std::min(kept_samples, records.size()); ++i) {
      if (Json sample = kept(records[i]); !sample.is_null()) step.samples.push_back(std::move(sample));
    }
    return step;
  }

 private:
  // The completion that a record keeps; null: none. What a worker wrote there may be anything.
  [[nodiscard]] Json kept(const std::byte* bytes) const {
    Record record;
    std::memcpy(&record, bytes, sizeof record);
    if (record.kept_ids <= 0 || record.kept_ids > shared_.settings.max_tokens) return {};
    std::vector<std::int32_t> ids(static_cast<std::size_t>(record.kept_ids));
    std::memcpy(ids.data(), bytes + sizeof record, ids.size() * sizeof ids[0]);
    const data::Problem problem = problem_at(*shared_.problems, shared_.seed, record.kept_prompt);
    const Result<std::string> completion = text_of(ids, *shared_.tokenizer);
    if (!completion.ok()) return {};
    return {{"prompt", problem.prompt},
            {"completion", *completion},
            {"truth", problem.truth},
            {"right", record.kept_right != 0},
            {"reward", record.kept_reward}};
  }

  Shared shared_;
};

// What the reward `command` needs, and what it cannot be had together with.
Result<void> check_outside(const Config& config, const Shared& shared) {
  const std::string place = config.origin("rl", "command");
  if (!shared.asks) {
    if (shared.settings.command.empty()) return {};
    return input_error("{}: no reward asks the program; add it: rewards = {{ command = 1.0 }}", place);
  }
  if (!config.has("rl", "command")) {
    return input_error("{}: the reward command asks a program, and [rl] command names none: command = [\"python3\", \"score.py\"]",
                       config.origin("rl", "rewards"));
  }
  if (shared.settings.resample > 0) {
    return input_error(
        "{}: other prompts are drawn by rewards, which are not known before the program has been asked: resample = 0 with the reward "
        "command",
        config.origin("rl", "resample"));
  }
  return check_command(shared.settings.command, place);
}

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

Result<std::string> text_of(std::span<const std::int32_t> ids, const text::Tokenizer& tokenizer) {
  std::vector<std::int32_t> known;
  std::ranges::copy_if(ids, std::back_inserter(known), [&](std::int32_t id) { return !tokenizer.token_bytes(id).empty(); });
  return tokenizer.decode(known);
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
    shared.asks = shared.asks || reward->outside;
  }
  TRY(check_outside(config, shared));
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
