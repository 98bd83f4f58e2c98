// What eval --task and sample share: problems asked of a model.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands/inference.h"
#include "cli/progress.h"
#include "cli/task_options.h"
#include "data/problems.h"
#include "rl/ask.h"

namespace godwit::cli {

struct AskingOptions {
  std::string model;
  std::string task;
  std::vector<std::string> sets;
  std::int64_t count = 200;
  std::int64_t tries = 1;
  double temperature = 0;
  std::int64_t max_tokens = 256;
  std::uint64_t seed = 0;
  bool chat = false;
};

inline void declare_asking(App app, AskingOptions& options) {
  app.add_option("--set", options.sets, "An option of the task: options.bits=8").type_name("options.KEY=VALUE").one_value_each();
  app.add_option("--count", options.count, "Problems").type_name("N").between(1, 1 << 24).show_default();
  app.add_option("--tries", options.tries, "Answers to each problem").type_name("K").between(1, 1 << 16).show_default();
  app.add_option("--temperature", options.temperature, "0: greedy").type_name("T").show_default();
  app.add_option("--max-tokens", options.max_tokens, "Of an answer, its thinking included")
      .type_name("N")
      .between(1, 1 << 20)
      .show_default();
  app.add_flag("--chat", options.chat, "Each problem is a question, put in the model's chat template");
  app.add_option("--seed", options.seed, "Of the problems and of sampling").type_name("N").show_default();
}

inline Result<void> check(const AskingOptions& options) {
  if (options.temperature < 0) return input_error("--temperature is {}; 0 (greedy) or more is wanted", options.temperature);
  if (options.tries > 1 && options.temperature == 0) {
    return input_error("--tries {} of one problem are all the same when greedy; give --temperature 1, say", options.tries);
  }
  return {};
}

struct AskedModel {
  std::unique_ptr<OpenModel> opened;
  std::vector<rl::Asked> asked;
};
// `options` passed check(). `stopped` is said of an interruption.
inline Result<AskedModel> ask_model(const AskingOptions& options, const ComputeOptions& compute, data::Split split,
                                    const std::string& stopped) {
  data::ProblemSource source{.name = options.task, .seed = options.seed, .place = "--task"};
  TRY_ASSIGN(source.options, task_options(options.sets));
  TRY_ASSIGN(const auto problems, data::open_problems(source));
  AskedModel model;
  TRY_ASSIGN(model.opened, open_model(options.model, compute));
  const OpenModel& opened = *model.opened;
  if (!opened.tokenizer) return input_error("{} has no tokenizer, and problems are texts", options.model);
  catch_interrupts();
  Progress progress(compute.quiet);
  rl::AskOptions ask;
  ask.split = split;
  ask.count = static_cast<std::uint64_t>(options.count);
  if (const auto there_are = problems->count(split)) ask.count = std::min(ask.count, *there_are);
  ask.tries = options.tries;
  ask.temperature = options.temperature;
  ask.max_tokens = options.max_tokens;
  ask.seed = options.seed;
  if (options.chat) {
    TRY_ASSIGN(ask.chat, chat_format(*opened.tokenizer));
  }
  ask.dtype = opened.dtype;
  ask.weights = opened.format;
  ask.progress = [&](double share) -> Result<void> {
    if (interrupted()) return Error{ErrorKind::stopped, stopped};
    progress.update(share, options.task);
    return {};
  };
  TRY_ASSIGN(model.asked, rl::ask(*opened.device, opened.model(), opened.weights, *opened.tokenizer, *problems, ask));
  progress.finish();
  return model;
}

}  // namespace godwit::cli
