// godwit serve-engine: the process of the engine behind `godwit serve`, which starts it.
#include <signal.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "cli/command.h"
#include "cli/commands/inference.h"
#include "device/backends.h"
#include "guard/sandbox.h"
#include "infer/engine.h"
#include "serve/engine_worker.h"

namespace godwit::cli {

namespace {

struct Options {
  std::string model;
  ComputeOptions compute;
  infer::EngineOptions engine;
  int link = -1;
};

Result<void> run_engine(const Options& options) {
  // Before anything has threads; model files are only read.
  const bool driver = device::brings_driver(options.compute.backend);
  std::vector<std::string> unconfined = guard::confine_early(driver);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // a new user namespace forgets it
  TRY_ASSIGN(const std::unique_ptr<OpenModel> opened, open_model(options.model, options.compute));
  TRY_ASSIGN(const Digest digest, opened->source.digest());
  infer::EngineOptions settings = options.engine;
  settings.dtype = opened->dtype;
  settings.weights = opened->format;
  settings.prepare_all = true;  // a stream does not wait for another one's program
  TRY_ASSIGN(const std::unique_ptr<infer::Engine> engine,
             infer::Engine::create(*opened->device, opened->model(), opened->weights, settings, opened->tokenizer));
  for (std::string& each : guard::confine(false, driver)) unconfined.push_back(std::move(each));
  serve::Ready ready;
  ready.digest = hex(digest);
  ready.dtype = settings.dtype == program::Dtype::bf16 ? "bf16" : "f32";
  if (settings.weights == model::WeightFormat::q8) ready.dtype += "-q8";
  ready.context = settings.context > 0 ? settings.context : opened->model().context();
  ready.unconfined = std::move(unconfined);
  std::optional<infer::GrammarVocabulary> vocabulary;
  if (opened->tokenizer) vocabulary.emplace(*opened->tokenizer);
  return serve::work(*engine, ready, vocabulary, options.link);
}

CommandBody declare_serve_engine(App app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "What to serve").required();
  app.add_option("--link", options->link, "Descriptor of the server").required();
  app.add_option("--streams", options->engine.streams, "Answered at once");
  app.add_option("--context", options->engine.context, "Prompt and answer together");
  app.add_option("--cache-memory", options->engine.cache_bytes, "Bytes");
  app.add_option("--batch-rows", options->engine.rows, "Rows of a step");
  app.add_option("--guesses", options->engine.guesses, "Tokens guessed ahead");
  declare_weights(app, options->compute);
  declare_compute(app, options->compute);
  return [options]() -> Result<int> {
    // Ctrl-C at a terminal goes to the server as well, which decides when this ends.
    signal(SIGINT, SIG_IGN);
    const Result<void> done = run_engine(*options);
    if (done.ok()) return exit_finished;
    serve::tell_failure(done.error(), options->link);
    return exit_code(done.error().kind);
  };
}

}  // namespace

extern const Command serve_engine;
const Command serve_engine{
    .name = "serve-engine",
    .summary = "The engine's process of godwit serve, which starts it.",
    .declare = declare_serve_engine,
    .hidden = true,
};

}  // namespace godwit::cli
