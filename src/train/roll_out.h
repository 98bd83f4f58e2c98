// Samples that the model itself writes: what reinforcement learning adds to a training step.
//
// The dataset then gives *prompts*. Whoever proposes lets the model write a *group* of completions to each prompt, says what every token of
// them weighs, and takes the gradient of Σ weight · (−log p) over them. A *record* of each group goes with the proposal; the keeper reads
// from the records of all prompts what the sum is divided by. Completions, like everything else of a step, are a function of (committed
// state, step): a replay writes them again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/digest.h"
#include "base/json.h"
#include "data/dataset.h"
#include "device/device.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "train/settings.h"
#include "train/state.h"

namespace godwit::train {

// By completion and labelled prediction.
using Logprobs = std::vector<std::vector<float>>;

// What somebody outside said of a prompt's completions: a score each.
struct ScoredGroup {
  Digest completions;  // which they are: completions_digest
  std::vector<double> scores;
};
// SHA-256 over the ids, prompt and completion, of a group as RollOut::write() gives it.
[[nodiscard]] Digest completions_digest(std::span<const data::Sample> group);

// Of one process, used by one thread. Steps are counted by those committed before: the first one is step 0.
class RollOut {
 public:
  virtual ~RollOut() = default;
  // `states`: buffers of the states, which outlive this, as `layout` says.
  [[nodiscard]] virtual Result<void> prepare(device::Device& device, std::span<const device::Buffer* const> states,
                                             const StateLayout& layout) = 0;
  // The model is that of this state from now on, which holds still; again when it has changed.
  [[nodiscard]] virtual Result<void> use(std::size_t state) = 0;
  // The group of each prompt, one prompt after another: prompt and completion, of which only the completion's tokens are labelled.
  // `interrupted` is asked between tokens; true gives up with ErrorKind::stopped.
  [[nodiscard]] virtual Result<std::vector<data::Sample>> write(std::span<const data::Sample> prompts, std::uint64_t step,
                                                                const std::function<bool()>& interrupted) = 0;
  // What the last write() has written, if that was to these prompts at this step, the model has not changed, and it was not asked for
  // before.
  [[nodiscard]] virtual std::optional<std::vector<data::Sample>> written(std::span<const data::Sample> prompts, std::uint64_t step) = 0;
  // Where RollOuts::asks(): what was said of the completions that write() returned, by prompt. Before weigh().
  [[nodiscard]] virtual Result<void> take_scores(std::span<const ScoredGroup> groups) = 0;
  // What each prediction of the completions that write() returned weighs, 0 where it is not labelled. `current`: by the model as it is;
  // `reference`: by the reference. Either is empty where RollOuts::needs says it is not needed.
  [[nodiscard]] virtual std::vector<std::vector<float>> weigh(const Logprobs& current, const Logprobs& reference) = 0;
  // The record of the group of the prompt at place `prompt`. `trained`: its log-probabilities as the training program has computed them.
  virtual void record(std::size_t prompt, std::span<const std::vector<float>> trained, std::span<std::byte> record) const = 0;
  [[nodiscard]] virtual std::vector<const device::Executable*> executables() const = 0;
};

// Made before there is a second process; holds still.
class RollOuts {
 public:
  virtual ~RollOuts() = default;
  [[nodiscard]] virtual std::int64_t group() const = 0;            // completions of a prompt
  [[nodiscard]] virtual std::int64_t predictions_max() const = 0;  // of prompt and completion together
  [[nodiscard]] virtual std::int64_t record_bytes() const = 0;
  [[nodiscard]] virtual std::unique_ptr<RollOut> roll_out() const = 0;
  // The programs by which completions to so many prompts at once are written, all that there may be.
  [[nodiscard]] virtual std::vector<program::Program> programs(std::int64_t prompts) const = 0;

  // Copies of the weights that the state carries, by prefix, and of which of them a step's own weights become the copy.
  [[nodiscard]] virtual std::vector<std::string> copies() const = 0;
  [[nodiscard]] virtual bool copies_at(const std::string& prefix, std::uint64_t step) const = 0;
  // The first step that learns from the same completions as this one: it, or one before it.
  [[nodiscard]] virtual std::uint64_t written_at(std::uint64_t step) const = 0;
  // Whether rewards come from outside: then nothing can be weighed before they are asked for.
  [[nodiscard]] virtual bool asks() const = 0;
  struct Said {
    std::vector<std::vector<double>> scores;  // by prompt and completion
    std::vector<std::string> warnings;        // what was not scored, and why
    std::vector<std::string> unconfined;      // what the kernel did not give to confine whoever is asked
  };
  // Asks whoever scores completions, in the order of their prompts. Called in a trusted process; `beat` now and then.
  [[nodiscard]] virtual Result<Said> ask(std::span<const data::Sample> prompts, std::span<const data::Sample> completions,
                                         const std::function<void()>& beat) const = 0;
  // Log-probabilities that weighing a step's completions needs beside those of decoding.
  struct Needs {
    bool current = false;
    std::string reference = {};  // prefix of the copies that are the reference; empty: not needed
  };
  [[nodiscard]] virtual Needs needs(std::uint64_t step) const = 0;
  [[nodiscard]] virtual bool ever_needs() const = 0;

  // What the records of a step say, in the order of its prompts.
  struct Step {
    std::int64_t tokens = 0;  // of all completions
    float mean = 0;           // what the sums over samples are multiplied by
    bool silent = false;      // every weight is zero: there is nothing to learn from, weights and moments stay as they are
    Json facts;               // for the metrics
    Json samples = {};        // some completions for people, where the step keeps any: a list of objects
  };
  [[nodiscard]] virtual Step read(std::span<const std::byte* const> records) const = 0;
};

// What a config with [rl] trains with in place of [data].
struct OpenedRollOuts {
  std::unique_ptr<data::Dataset> prompts;
  std::shared_ptr<const RollOuts> roll_outs;
};
using OpenRollOuts = std::function<Result<OpenedRollOuts>(const Config& config, const Settings& settings, const model::Model& model,
                                                          const text::Tokenizer* tokenizer)>;

}  // namespace godwit::train
