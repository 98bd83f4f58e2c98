// godwit sample: a model's own answers to problems, those that are right (rejection sampling) or all, as data to train on.
#include <fmt/format.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/commands/asking.h"
#include "data/document.h"
#include "text/special_tokens.h"

namespace godwit::cli {

namespace {

struct Options {
  AskingOptions asking;
  std::string keep = "correct";
  std::string out;
  bool force = false;
  bool json = false;
  ComputeOptions compute;
};

struct Counts {
  std::uint64_t problems = 0, asked = 0, right = 0, written = 0;
};

Result<void> check(const Options& options) {
  TRY(check(options.asking));
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
  catch_interrupts();                                                  // before there is a file to leave behind
  TRY_ASSIGN(DurableWriter file, DurableWriter::create(options.out));  // now, so that hours are not spent before it turns out wrong
  TRY_ASSIGN(const AskedModel model, ask_model(options.asking, options.compute, data::Split::training,
                                               fmt::format("stopped on request; nothing is written to {}", options.out)));
  TRY_ASSIGN(const Counts counts, write_lines(options, model.asked, *model.opened->tokenizer, file));
  if (options.json) {
    TRY(print_json({{"problems", counts.problems}, {"asked", counts.asked}, {"right", counts.right}, {"written", counts.written}}));
  } else {
    TRY(print(fmt::format("{}: {} completions asked for ({} problems × {}), {} right, {} written to {}\n", options.asking.task,
                          counts.asked, counts.problems, options.asking.tries, counts.right, counts.written, options.out)));
  }
  return exit_finished;
}

CommandBody declare_sample(App app) {
  auto options = std::make_shared<Options>();
  options->asking.temperature = 1;
  app.add_option("MODEL", options->asking.model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  app.add_option("--task", options->asking.task,
                 "Problems to answer: a task (godwit tasks list) or a .jsonl file; those that training sees")
      .type_name("NAME")
      .required();
  declare_asking(app, options->asking);
  app.add_option("--keep", options->keep, "What is written: correct answers, or all").one_of({"correct", "all"}).show_default();
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
