// godwit eval: how well the model predicts a text, or answers problems.
#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "cli/command.h"
#include "cli/commands/asking.h"
#include "cli/commands/inference.h"
#include "cli/progress.h"
#include "infer/score.h"

namespace godwit::cli {

namespace {

constexpr std::int64_t default_sequence = 256;  // as [data] sequence

struct Options {
  AskingOptions asking;
  std::string text;
  std::int64_t sequence = 0;  // 0: not given
  bool json = false;
  ComputeOptions compute;
};

Result<int> run_text(const Options& options) {
  TRY_ASSIGN(const std::string text, read_file(options.text));
  TRY_ASSIGN(const std::unique_ptr<OpenModel> opened, open_model(options.asking.model, options.compute));
  if (!opened->tokenizer) return input_error("{} has no tokenizer, so it cannot read {}", options.asking.model, options.text);
  const std::int64_t context = opened->model().context();
  if (options.sequence > context) return input_error("--sequence is {}, the model's context {}", options.sequence, context);

  catch_interrupts();
  Progress progress(options.compute.quiet);
  infer::EvaluateOptions settings;
  settings.dtype = opened->dtype;
  settings.weights = opened->format;
  settings.sequence = options.sequence > 0 ? options.sequence : std::min(default_sequence, context);
  settings.progress = [&](double share) -> Result<void> {
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    progress.update(share, options.text);
    return {};
  };
  TRY_ASSIGN(const infer::Evaluation result,
             infer::evaluate_text(*opened->device, opened->model(), opened->weights, *opened->tokenizer, text, options.text, settings));
  if (options.json) {
    Json document = Json::object();
    document["loss"] = result.loss;
    document["nats_per_byte"] = result.nats_per_byte;
    document["tokens"] = result.tokens;
    document["sequence"] = settings.sequence;
    TRY(print_json(document));
  } else {
    TRY(print(fmt::format("{}: {:.4f} nats per token, {:.4f} nats per byte, {} tokens in windows of {}\n", options.text, result.loss,
                          result.nats_per_byte, result.tokens, settings.sequence)));
  }
  return exit_finished;
}

Result<int> run_task(const Options& options) {
  TRY(check(options.asking));
  TRY_ASSIGN(const AskedModel model, ask_model(options.asking, options.compute, data::Split::evaluation, "stopped on request"));
  const rl::AskedFigures f = rl::figures_of(model.asked);
  const auto percent = [](double share) { return fmt::format("{:.1f} %", 100 * share); };
  if (options.json) {
    Json document = {{"accuracy", f.accuracy},
                     {"accuracy_interval", Json::array({f.interval.low, f.interval.high})},
                     {"length_mean", f.length_mean},
                     {"count", f.problems},
                     {"tries", f.tries},
                     {"well_formed", f.well_formed},
                     {"cut_share", f.cut}};
    if (f.tries > 1) {
      document["pass_at_k"] = f.pass;
      document["consensus_at_k"] = f.consensus;
    }
    TRY(print_json(document));
  } else {
    TRY(print(fmt::format("{}: {} right of {} problems{} (95 %: {} to {}), {:.1f} tokens of thinking, {} well formed, {} cut\n",
                          options.asking.task, percent(f.accuracy), f.problems, f.tries > 1 ? fmt::format(" × {} tries", f.tries) : "",
                          percent(f.interval.low), percent(f.interval.high), f.length_mean, percent(f.well_formed), percent(f.cut))));
    if (f.tries > 1) TRY(print(fmt::format("pass@{} {}, cons@{} {}\n", f.tries, percent(f.pass), f.tries, percent(f.consensus))));
  }
  return exit_finished;
}

Result<int> run_eval(const Options& options) {
  if (options.text.empty() == options.asking.task.empty()) return input_error("give --text FILE or --task NAME, one of them");
  return options.text.empty() ? run_task(options) : run_text(options);
}

CommandBody declare_eval(App app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->asking.model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  app.add_option("--text", options->text, "Text to predict; its bytes need not be UTF-8").type_name("FILE");
  app.add_option("--sequence", options->sequence,
                 fmt::format("Predictions in a window; by default {}, or the context where that is shorter", default_sequence))
      .type_name("N")
      .between(1, std::int64_t{1} << 40);
  app.add_option(
         "--task", options->asking.task,
         "Problems to answer: a task (godwit tasks list), of which training never sees these, or a .jsonl file, of which those held out")
      .type_name("NAME");
  declare_asking(app, options->asking);
  app.add_flag("--json", options->json, "Print one JSON document");
  declare_weights(app, options->compute);
  declare_compute(app, options->compute);
  return [options] { return run_eval(*options); };
}

}  // namespace

extern const Command eval;
const Command eval{
    .name = "eval",
    .summary = "How well a model predicts a text, or answers problems.",
    .declare = declare_eval,
};

}  // namespace godwit::cli
