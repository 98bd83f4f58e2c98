// godwit digest: the digest of a run's state, or of the weights of a Hugging Face directory, from the bytes.

#include "cli/command.h"
#include "cli/common.h"
#include "store/model_source.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string model;
  bool json = false;
  bool quiet = false;
};

Result<int> run(const Options& options) {
  TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open(options.model));
  TRY_ASSIGN(const Digest digest, source.digest());
  if (!options.json) {
    TRY(print(hex(digest) + "\n"));
    return exit_finished;
  }
  Json document = {{"digest", hex(digest)}};
  if (source.run()) document["step"] = source.run()->second;
  TRY(print_json(document));
  return exit_finished;
}

}  // namespace

extern const Command digest;
const Command digest{
    .name = "digest",
    .summary = "Print the digest of a run's state, or of a Hugging Face directory's weights, recomputed from the bytes.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_quiet(app, options->quiet);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
