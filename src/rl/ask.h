// Asks a model problems whose answers can be verified.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/problems.h"
#include "infer/generator.h"
#include "rl/reward.h"
#include "text/chat.h"

namespace godwit::rl {

struct AskOptions {
  data::Split split = data::Split::evaluation;
  std::uint64_t first = 0;    // problem
  std::uint64_t count = 100;  // problems
  std::int64_t tries = 1;     // answers to each
  double temperature = 0;     // 0: greedy
  std::int64_t max_tokens = 256;
  std::uint64_t seed = 0;
  std::optional<text::ChatFormat> chat = {};  // problems are put as a user's questions; without it as data::prompt_ids does
  program::Dtype dtype = program::Dtype::f32;
  model::WeightFormat weights = model::WeightFormat::dtype;
  std::int64_t streams = 512;                               // at once, at most (infer::streams_at_once)
  std::function<Result<void>(double share)> progress = {};  // its error ends the whole
};

struct Try {
  std::vector<std::int32_t> ids;
  Completion completion;
  double score = 0;  // of a well-formed completion; else 0
};
struct Asked {
  data::Problem problem;
  std::vector<Try> tries;
};

// Problems in their order. What is asked does not depend on `streams`, nor a try on the others.
[[nodiscard]] Result<std::vector<Asked>> ask(device::Device& device, const model::Model& model, const infer::Weights& weights,
                                             const text::Tokenizer& tokenizer, const data::Problems& problems, const AskOptions& options);

struct Interval {
  double low = 0, high = 0;
};
struct AskedFigures {
  std::int64_t problems = 0, tries = 0;
  double accuracy = 0;     // share of right answers, over all tries (avg@k)
  Interval interval;       // of the accuracy, 95 %: Wilson's for one try each, else by the spread over problems
  double pass = 0;         // share of problems with a right try (pass@k)
  double consensus = 0;    // share whose most frequent answer is right, the earliest of equals (cons@k)
  double length_mean = 0;  // tokens of thinking
  double well_formed = 0;  // share of tries
  double cut = 0;          // share of tries that ran into max_tokens
};
[[nodiscard]] AskedFigures figures_of(const std::vector<Asked>& asked);

}  // namespace godwit::rl
