// godwit sample: a model's own answers to problems, those that are right (rejection sampling) or all, as data to train on.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/commands/inference.h"
#include "cli/progress.h"
#include "cli/task_options.h"
#include "data/document.h"
#include "rl/ask.h"
#include "text/special_tokens.h"

namespace godwit::cli {

namespace {

struct Options {
  std::string model;
  std::string task;
  std::vector<std::string> sets;
  std::int64_t count = 200;
  std::int64_t tries = 1;
  double temperature = 1;
  std::string keep = "correct";
  std::int64_t max_tokens = 256;
  std::uint64_t seed = 0;
  std::string out;
  bool force = false;
  bool json = false;
  ComputeOptions compute;
};

struct Counts {
  std::uint64_t problems = 0, asked = 0, right = 0, written = 0;
};

Result<void> check(const Options& options) {
  if (options.temperature < 0) return input_error("--temperature is {}; 0 (greedy) or more is wanted", options.temperature);
  if (options.tries > 1 && options.temperature == 0) {
    return input_error("--tries {} of one problem are all the same when greedy; give --temperature 1, say", options.tries);
  }
  if (fs::is_directory(options.out)) return input_error("--out {} is a directory; name a file in it", options.out);
  if (fs::exists(options.out) && !options.force) {
    return input_error("--out {} exists; name another file, or give --force to replace it", options.out);
  }
  return {};
}

// Whether a conversation says what was generated: text, with one </think> between the two parts.
bool can_be_told(const rl::Completion& completion, std::string_view thinking) {
  const auto plain = [](std::string_view text) {
    return is_utf8(text) && text.find(text::think_begin_token) == std::string_view::npos &&
           text.find(text::think_end_token) == std::string_view::npos;
  };
  return completion.well_formed() && plain(thinking) && plain(completion.answer);
}

Result<Json> line_of(const rl::Asked& one, const rl::Try& made, const text::Tokenizer& tokenizer) {
  std::span<const std::int32_t> ids = made.ids;
  if (made.completion.finished) ids = ids.first(ids.size() - 1);
  const auto thought = std::min(ids.size(), static_cast<std::size_t>(made.completion.thinking));
  TRY_ASSIGN(const std::string thinking, tokenizer.decode(ids.first(thought)));
  Json line = {{"question", one.problem.prompt}, {"answer", one.problem.truth}};
  line["completion"] = {{"thinking", thinking}, {"answer", made.completion.answer}, {"well_formed", made.completion.well_formed()}};
  line["score"] = made.score;
  line["messages"] = nullptr;
  if (can_be_told(made.completion, thinking)) {
    const std::string content = fmt::format("{}{}{}{}", text::think_begin_token, thinking, text::think_end_token, made.completion.answer);
    line["messages"] = Json::array({{{"role", "user"}, {"content", one.problem.prompt}}, {{"role", "assistant"}, {"content", content}}});
  }
  return line;
}

Result<Counts> write_lines(const Options& options, const std::vector<rl::Asked>& asked, const text::Tokenizer& tokenizer,
                           DurableWriter& file) {
  Counts counts{.problems = asked.size()};
  for (const rl::Asked& one : asked) {
    for (const rl::Try& made : one.tries) {
      const bool right = made.score == 1.0;
      ++counts.asked;
      counts.right += right;
      if (!right && options.keep == "correct") continue;
      TRY_ASSIGN(const Json line, line_of(one, made, tokenizer));
      TRY(file.append(write_json(line) + "\n"));
      ++counts.written;
    }
  }
  TRY(file.commit());
  return counts;
}

Result<int> run_sample(const Options& options) {
  TRY(check(options));
  data::ProblemSource source{.name = options.task, .seed = options.seed, .place = "--task"};
  TRY_ASSIGN(source.options, task_options(options.sets));
  TRY_ASSIGN(const auto problems, data::open_problems(source));
  TRY_ASSIGN(const std::unique_ptr<OpenModel> opened, open_model(options.model, options.compute));
  if (!opened->tokenizer) return input_error("{} has no tokenizer, and problems are texts", options.model);
  catch_interrupts();
  TRY_ASSIGN(DurableWriter file, DurableWriter::create(options.out));  // now, so that hours are not spent before it turns out wrong
  Progress progress(options.compute.quiet);
  rl::AskOptions ask;
  ask.split = data::Split::training;
  ask.count = static_cast<std::uint64_t>(options.count);
  if (const auto there_are = problems->count(ask.split)) ask.count = std::min(ask.count, *there_are);
  ask.tries = options.tries;
  ask.temperature = options.temperature;
  ask.max_tokens = options.max_tokens;
  ask.seed = options.seed;
  ask.dtype = opened->dtype;
  ask.progress = [&](double share) -> Result<void> {
    if (interrupted()) return Error{ErrorKind::stopped, fmt::format("stopped on request; nothing is written to {}", options.out)};
    progress.update(share, options.task);
    return {};
  };
  TRY_ASSIGN(const std::vector<rl::Asked> asked,
             rl::ask(*opened->device, opened->model(), opened->weights, *opened->tokenizer, *problems, ask));
  progress.finish();
  TRY_ASSIGN(const Counts counts, write_lines(options, asked, *opened->tokenizer, file));
  if (options.json) {
    TRY(print_json({{"problems", counts.problems}, {"asked", counts.asked}, {"right", counts.right}, {"written", counts.written}}));
  } else {
    TRY(print(fmt::format("{}: {} completions asked for ({} problems × {}), {} right, {} written to {}\n", options.task, counts.asked,
                          counts.problems, options.tries, counts.right, counts.written, options.out)));
  }
  return exit_finished;
}

CommandBody declare_sample(App app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  app.add_option("--task", options->task, "Problems to answer: a task (godwit tasks list) or a .jsonl file; those that training sees")
      .type_name("NAME")
      .required();
  app.add_option("--set", options->sets, "An option of the task: options.bits=8").type_name("options.KEY=VALUE").one_value_each();
  app.add_option("--count", options->count, "Problems").type_name("N").between(1, 1 << 24).show_default();
  app.add_option("--tries", options->tries, "Answers to each problem").type_name("K").between(1, 1 << 16).show_default();
  app.add_option("--temperature", options->temperature, "0: greedy").type_name("T").show_default();
  app.add_option("--keep", options->keep, "What is written: correct answers, or all").one_of({"correct", "all"}).show_default();
  app.add_option("--max-tokens", options->max_tokens, "Of an answer, its thinking included")
      .type_name("N")
      .between(1, 1 << 20)
      .show_default();
  app.add_option("--seed", options->seed, "Of the problems and of sampling").type_name("N").show_default();
  app.add_option("--out", options->out, "Where the lines go, for [data] kind = \"chat\"; written in one piece at the end")
      .type_name("FILE.jsonl")
      .required();
  app.add_flag("--force", options->force, "Replace the file if there is one");
  app.add_flag("--json", options->json, "Print the counts as one JSON document");
  declare_compute(app, options->compute);
  return [options] { return run_sample(*options); };
}

}  // namespace

extern const Command sample;
const Command sample{
    .name = "sample",
    .summary = "Write a model's answers to problems, the right ones or all, as data to train on.",
    .declare = declare_sample,
};

}  // namespace godwit::cli
