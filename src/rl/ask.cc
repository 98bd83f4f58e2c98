#include "rl/ask.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "rl/roll_outs.h"

namespace godwit::rl {

namespace {

constexpr double z95 = 1.959964;

Interval wilson(double share, double count) {
  const double z2 = z95 * z95;
  const double middle = (share + z2 / (2 * count)) / (1 + z2 / count);
  const double half = z95 / (1 + z2 / count) * std::sqrt(share * (1 - share) / count + z2 / (4 * count * count));
  return {std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

bool right(const Try& each) {
  return each.score == 1.0;
}

}  // namespace

Result<std::vector<Asked>> ask(device::Device& device, const model::Model& model, const infer::Weights& weights,
                               const text::Tokenizer& tokenizer, const data::Problems& problems, const AskOptions& options) {
  TRY_ASSIGN(const data::DocumentTokens tokens, data::document_tokens(tokenizer));
  std::vector<Asked> asked;
  std::vector<infer::Request> requests;
  std::int64_t longest = 0;
  for (std::uint64_t i = 0; i < options.count; ++i) {
    Asked one{problems.problem(options.split, options.first + i), {}};
    TRY_ASSIGN(const std::vector<std::int32_t> prompt, options.chat ? data::chat_prompt_ids(one.problem.prompt, *options.chat, tokenizer)
                                                                    : data::prompt_ids(one.problem, tokenizer));
    longest = std::max(longest, static_cast<std::int64_t>(prompt.size()));
    for (std::int64_t k = 0; k < options.tries; ++k) {
      infer::Request request;
      request.prompt = prompt;
      request.max_tokens = options.max_tokens;
      request.sampling.temperature = options.temperature;
      request.seed = options.seed;
      request.sample = (options.first + i) * static_cast<std::uint64_t>(options.tries) + static_cast<std::uint64_t>(k);
      request.eos = tokens.eos;
      requests.push_back(std::move(request));
    }
    asked.push_back(std::move(one));
  }
  if (longest + options.max_tokens > model.context()) {
    return input_error("the longest prompt has {} tokens; with {} new ones that is more than the model's context of {}: ask for fewer",
                       longest, options.max_tokens, model.context());
  }
  infer::GeneratorOptions settings;
  settings.dtype = options.dtype;
  settings.weights = options.weights;
  settings.capacity = longest + options.max_tokens;
  settings.streams = infer::streams_at_once(model, options.dtype, settings.capacity,
                                            std::min(options.streams, std::max<std::int64_t>(static_cast<std::int64_t>(requests.size()), 1)));
  settings.programs = 24;
  TRY_ASSIGN(const auto generator, infer::Generator::create(device, model, weights, settings, std::nullopt));
  std::size_t finished = 0;
  const auto heed = [&](const infer::Event& event) -> Result<void> {
    if (event.finish) ++finished;
    if (!options.progress || (!event.finish && event.ticket % 16 != 0)) return {};
    return options.progress(static_cast<double>(finished) / static_cast<double>(requests.size()));
  };
  TRY_ASSIGN(std::vector<infer::Answer> answers, generator->generate(requests, heed));
  for (std::size_t i = 0; i < answers.size(); ++i) {
    Asked& one = asked[i / static_cast<std::size_t>(options.tries)];
    Try made;
    made.ids = std::move(answers[i].ids);
    TRY_ASSIGN(made.completion, read_completion(made.ids, options.max_tokens, tokenizer, tokens));
    if (made.completion.well_formed()) made.score = problems.score(one.problem, made.completion.answer);
    one.tries.push_back(std::move(made));
  }
  return asked;
}

AskedFigures figures_of(const std::vector<Asked>& asked) {
  AskedFigures f;
  f.problems = static_cast<std::int64_t>(asked.size());
  if (asked.empty()) return f;
  f.tries = static_cast<std::int64_t>(asked[0].tries.size());
  const auto count = static_cast<double>(f.problems);
  const double all = count * static_cast<double>(f.tries);
  std::vector<double> shares;
  for (const Asked& one : asked) {
    double hits = 0;
    std::map<std::string, std::int64_t> votes;
    for (const Try& each : one.tries) {
      hits += right(each);
      f.length_mean += static_cast<double>(each.completion.thinking) / all;
      f.well_formed += each.completion.well_formed() / all;
      f.cut += !each.completion.finished / all;
      if (each.completion.well_formed()) ++votes[each.completion.answer];
    }
    const Try* chosen = nullptr;
    for (const Try& each : one.tries) {
      if (!each.completion.well_formed()) continue;
      if (chosen == nullptr || votes[each.completion.answer] > votes[chosen->completion.answer]) chosen = &each;
    }
    shares.push_back(hits / static_cast<double>(f.tries));
    f.accuracy += shares.back() / count;
    f.pass += (hits > 0) / count;
    f.consensus += (chosen != nullptr && right(*chosen)) / count;
  }
  if (f.tries == 1) {
    f.interval = wilson(f.accuracy, count);
  } else {
    double squares = 0;
    for (const double share : shares) squares += (share - f.accuracy) * (share - f.accuracy);
    const double half = z95 * std::sqrt(squares / std::max(count - 1, 1.0) / count);
    f.interval = {std::max(0.0, f.accuracy - half), std::min(1.0, f.accuracy + half)};
  }
  return f;
}

}  // namespace godwit::rl
