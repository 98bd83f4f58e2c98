// godwit export: a model as the directory that transformers and vLLM read, or as the file that llama.cpp reads.

#include "cli/command.h"
#include "cli/common.h"
#include "cli/progress.h"
#include "store/export_gguf.h"
#include "store/model_source.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string model;
  std::string directory;
  store::ExportOptions format;
  std::string gguf;
  std::string quantize = "f32";
  bool quiet = false;
};

Result<int> run(const Options& options) {
  if (options.directory.empty() == options.gguf.empty()) return input_error("give --to DIR or --gguf FILE, one of them");
  TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open(options.model));
  if (options.gguf.empty()) {
    if (options.format.with_mtp && !source.model().has_mtp()) return input_error("--with-mtp: {} has no MTP layer", options.model);
    TRY(store::export_huggingface(source, options.directory, options.format));
    return exit_finished;
  }
  catch_interrupts();
  Progress progress(options.quiet);
  TRY(store::export_gguf(source, options.gguf, options.quantize, [&](double share) -> Result<void> {
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request; nothing is written"};
    progress.update(share, options.gguf);
    return {};
  }));
  return exit_finished;
}

}  // namespace

extern const Command export_model;
const Command export_model{
    .name = "export",
    .summary = "Write a model as a Hugging Face directory or as a GGUF file.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
      const Option to =
          app.add_option("--to", options->directory, "Hugging Face directory to write; it must not exist, or be empty").type_name("DIR");
      const Option dtype =
          app.add_option("--dtype", options->format.dtype, "Type of the directory's weights: f32 (the default), bf16 or f16")
              .type_name("TYPE")
              .one_of({"f32", "bf16", "f16"});
      const Option mtp =
          app.add_flag("--with-mtp", options->format.with_mtp, "Write the multi-token prediction layer into the directory too");
      app.add_option("--gguf", options->gguf, "GGUF file to write, for llama.cpp; it must not exist")
          .type_name("FILE")
          .excludes(to)
          .excludes(dtype)
          .excludes(mtp);
      app.add_option("--quantize", options->quantize,
                     "Type of the file's matrices: f32 (the default), bf16 or q8_0; norms and routers stay f32")
          .type_name("KIND")
          .one_of({"f32", "bf16", "q8_0"})
          .excludes(to);
      declare_quiet(app, options->quiet);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
