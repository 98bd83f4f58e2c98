// godwit probe: what the engine computes for rows of token ids, as safetensors.
#include <filesystem>

#include "base/file.h"
#include "cli/command.h"
#include "cli/commands/inference.h"
#include "infer/score.h"
#include "store/safetensors.h"

namespace godwit::cli {

namespace {

struct Options {
  std::string model;
  std::string ids;
  std::string out;
  bool gradients = false;
  ComputeOptions compute;
};

Result<void> write(const infer::Probe& probe, const std::filesystem::path& path) {
  const auto size = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
  constexpr auto f32 = store::FileDtype::f32;
  std::vector<store::OutputTensor> tensors;
  tensors.push_back(store::tensor_of_f32("logits", f32, {size(probe.B), size(probe.T), size(probe.V)}, probe.logits));
  tensors.push_back(store::tensor_of_f32("logprobs", f32, {size(probe.B), size(probe.T - 1)}, probe.logprobs));
  if (probe.loss) tensors.push_back(store::tensor_of_f32("loss", f32, {1}, std::span(&*probe.loss, 1)));
  for (const infer::WeightGradient& g : probe.gradients) {
    tensors.push_back(store::tensor_of_f32("grad." + g.name, f32, g.shape, g.values));
  }
  TRY(store::write_safetensors(path, tensors));
  return {};
}

Result<int> run_probe(const Options& options) {
  const std::filesystem::path out = options.out;
  const std::filesystem::path directory = out.has_parent_path() ? out.parent_path() : ".";
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    return input_error("--out {}: there is no directory {}; make it first", options.out, directory.string());
  }
  if (std::filesystem::is_directory(out, ignored)) return input_error("--out {} is a directory; name a file", options.out);
  TRY_ASSIGN(const std::string text, read_file(options.ids));
  TRY_ASSIGN(const infer::IdRows rows, infer::parse_id_rows(text, options.ids));
  TRY_ASSIGN(const std::unique_ptr<OpenModel> opened, open_model(options.model, options.compute));
  TRY(infer::check_probe_rows(rows, opened->model(), options.gradients, options.ids));
  TRY_ASSIGN(const infer::Probe result, infer::probe(*opened->device, opened->model(), opened->weights, rows,
                                                     {.dtype = opened->dtype, .gradients = options.gradients}));
  TRY(write(result, out));
  return exit_finished;
}

CommandBody declare_probe(App app) {
  auto options = std::make_shared<Options>();
  app.add_option("MODEL", options->model, "Hugging Face directory, run directory, RUN@STEP or RUN@best").required();
  app.add_option("--ids", options->ids, "Rows of token ids of one length, [[5,9,2],[7,1,4]]").type_name("FILE.json").required();
  app.add_option("--out", options->out, "Safetensors file to write: logits [B,T,V], logprobs [B,T-1] of the next ids")
      .type_name("FILE")
      .required();
  app.add_flag("--grads", options->gradients, "Also loss [1], the mean over the predictions, and grad.<weight name>");
  declare_compute(app, options->compute);
  return [options] { return run_probe(*options); };
}

}  // namespace

extern const Command probe;
const Command probe{
    .name = "probe",
    .summary = "What the engine computes for rows of token ids.",
    .declare = declare_probe,
};

}  // namespace godwit::cli
