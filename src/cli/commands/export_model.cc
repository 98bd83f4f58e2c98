// godwit export: a model as the directory that transformers, vLLM and llama.cpp's converter read.

#include "cli/command.h"
#include "cli/common.h"
#include "store/model_source.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string model;
  std::string directory;
  store::ExportOptions format;
  bool quiet = false;
};

Result<int> run(const Options& options) {
  TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open(options.model));
  if (options.format.with_mtp && !source.model().has_mtp()) {
    return input_error("--with-mtp: {} has no MTP layer", options.model);
  }
  TRY(store::export_huggingface(source, options.directory, options.format));
  return exit_finished;
}

}  // namespace

extern const Command export_model;
const Command export_model{
    .name = "export",
    .summary = "Write a model as a Hugging Face directory.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
      app.add_option("--to", options->directory, "Directory to write; it must not exist, or be empty").type_name("DIR").required();
      app.add_option("--dtype", options->format.dtype, "Type of the weights: f32 (the default), bf16 or f16")
          .type_name("TYPE")
          .one_of({"f32", "bf16", "f16"});
      app.add_flag("--with-mtp", options->format.with_mtp, "Write the multi-token prediction layer too");
      declare_quiet(app, options->quiet);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
