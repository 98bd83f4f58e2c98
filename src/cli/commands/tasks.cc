// godwit tasks: the tasks there are, and samples of their problems.
#include <fmt/format.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/common.h"
#include "cli/task_options.h"
#include "data/problems.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string source;
  std::int64_t count = 5;
  std::uint64_t seed = 0;
  bool evaluation = false;
  std::vector<std::string> sets;
  bool json = false;
};

Json option_json(const data::TaskOption& option) {
  Json entry = {{"name", option.name}};
  if (option.kind == data::OptionKind::word) {
    entry["default"] = option.words[static_cast<std::size_t>(option.fallback)];
    entry["choices"] = option.words;
  } else {
    const bool whole = option.kind == data::OptionKind::integer;
    const auto number = [whole](double value) { return whole ? Json(static_cast<std::int64_t>(value)) : Json(value); };
    entry["default"] = number(option.fallback);
    entry["minimum"] = number(option.minimum);
    entry["maximum"] = number(option.maximum);
  }
  entry["meaning"] = option.meaning;
  return entry;
}

std::string option_line(const Json& option, std::size_t width) {
  const std::string range = option.contains("choices")
                                ? fmt::format("{}", fmt::join(option["choices"].get<std::vector<std::string>>(), ", "))
                                : fmt::format("{} to {}", write_json(option["minimum"]), write_json(option["maximum"]));
  const Json& fallback = option["default"];
  return fmt::format("    {:<{}}  {} (default {}): {}\n", option["name"].string(), width, range,
                     fallback.is_string() ? fallback.string() : write_json(fallback), option["meaning"].string());
}

Result<int> list(bool as_json) {
  Json entries = Json::array();
  const auto add = [&](std::string_view name, std::string_view summary, const std::vector<data::TaskOption>& options) {
    Json listed = Json::array();
    for (const data::TaskOption& option : options) listed.push_back(option_json(option));
    entries.push_back({{"name", name}, {"summary", summary}, {"options", std::move(listed)}});
  };
  for (const data::Task* task : data::all_tasks()) add(task->name, task->summary, data::task_options(*task));
  add("FILE.jsonl", R"(Your own problems: lines {"question": …, "answer": …}, also in GSM8K's form.)", data::file_options());
  if (as_json) {
    TRY(print_json(entries));
    return exit_finished;
  }
  for (const Json& entry : entries) {
    TRY(print(fmt::format("{}: {}\n", entry["name"].string(), entry["summary"].string())));
    std::size_t width = 0;
    for (const Json& option : entry["options"]) width = std::max(width, option["name"].string().size());
    for (const Json& option : entry["options"]) TRY(print(option_line(option, width)));
  }
  return exit_finished;
}

Result<int> sample(const Options& options) {
  data::ProblemSource source{.name = options.source, .seed = options.seed, .place = "godwit tasks sample"};
  TRY_ASSIGN(source.options, task_options(options.sets));
  TRY_ASSIGN(const auto problems, data::open_problems(source));
  const data::Split split = options.evaluation ? data::Split::evaluation : data::Split::training;
  auto count = static_cast<std::uint64_t>(options.count);
  if (const auto limit = problems->count(split)) count = std::min(count, *limit);
  Json entries = Json::array();
  for (std::uint64_t i = 0; i < count; ++i) {
    const data::Problem problem = problems->problem(split, i);
    const bool shown = problems->is_long(problem, i);
    if (options.json) {
      Json entry = {{"index", i}, {"prompt", problem.prompt}, {"truth", problem.truth}, {"long", shown}};
      if (!problem.chain.empty()) entry["chain"] = problem.chain;
      entries.push_back(std::move(entry));
    } else {
      TRY(print(fmt::format("{}<think>{}</think>{}\n", problem.prompt, shown ? problem.chain : "", problem.truth)));
    }
  }
  if (options.json) TRY(print_json(entries));
  return exit_finished;
}

}  // namespace

extern const Command tasks;
const Command tasks{
    .name = "tasks",
    .summary = "List tasks with answers that can be verified; show problems of one.",
    .declare = [](App app) -> CommandBody {
      app.require_subcommand();
      auto options = std::make_shared<Options>();
      App lists = app.add_subcommand("list", "Every task with its options.");
      lists.add_flag("--json", options->json, "Print one JSON document");
      App samples = app.add_subcommand("sample", "The documents a training run sees first, one a line.");
      samples.add_option("NAME", options->source, "A task, or a .jsonl file of problems").required();
      samples.add_option("--count", options->count, "How many").type_name("N").between(1, 1 << 20).show_default();
      samples.add_option("--seed", options->seed, "The run's seed").type_name("N").show_default();
      samples.add_flag("--evaluation", options->evaluation, "Of the stream that evaluation takes, and training never sees");
      samples.add_option("--set", options->sets, "An option of the task: options.bits=8").type_name("options.KEY=VALUE").one_value_each();
      samples.add_flag("--json", options->json, "Print one JSON document");
      return [options, lists]() -> Result<int> { return lists.parsed() ? list(options->json) : sample(*options); };
    },
};

}  // namespace godwit::cli
