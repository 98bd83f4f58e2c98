#include <unistd.h>

#include <array>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/huggingface_files.h"
#include "store/model_source.h"
#include "store/narrow.h"

namespace godwit::store {
namespace {

struct Format {
  std::string_view name;
  FileDtype dtype;
  std::string_view torch;
};
constexpr std::array<Format, 3> formats = {
    {{"f32", FileDtype::f32, "float32"}, {"bf16", FileDtype::bf16, "bfloat16"}, {"f16", FileDtype::f16, "float16"}}};

Result<Format> find_format(std::string_view name) {
  for (const auto& format : formats) {
    if (format.name == name) return format;
  }
  return input_error("cannot export as '{}'; f32, bf16 and f16 are written", name);
}

// The parameter read last: the files of a stacked one follow each other, and only one is held in memory.
struct Current {
  std::size_t index = ~std::size_t{0};
  std::vector<float> values;
};

std::vector<OutputTensor> outputs(const ModelSource& source, FileDtype dtype, bool with_mtp, Current& current) {
  std::vector<OutputTensor> tensors;
  const auto& parameters = source.model().parameters();
  for (std::size_t index = 0; index < parameters.size(); ++index) {
    const auto& parameter = parameters[index];
    if (parameter.mtp && !with_mtp) continue;
    // The router bias is too fine for less: an expert's turn hangs on its last bits.
    const FileDtype stored = parameter.kind == model::Parameter::Kind::router_bias ? FileDtype::f32 : dtype;
    std::vector<std::uint64_t> shape;
    for (int axis = parameter.stacked() ? 1 : 0; axis < parameter.shape.rank(); ++axis)
      shape.push_back(static_cast<std::uint64_t>(parameter.shape[axis]));
    const std::size_t each = static_cast<std::size_t>(parameter.shape.count()) / parameter.files.size();
    const auto add = [&](const std::string& name, std::size_t place) {
      tensors.push_back(
          {name, stored, shape, [&source, &current, &parameter, index, each, place, stored, name](const ByteSink& sink) -> Result<void> {
             if (current.index != index) {
               current.index = ~std::size_t{0};
               current.values.resize(static_cast<std::size_t>(parameter.shape.count()));
               TRY(source.read(index, current.values));
               current.index = index;
             }
             return write_narrowed(std::span<const float>(current.values).subspan(place * each, each), stored, name, sink);
           }});
    };
    for (std::size_t place = 0; place < parameter.files.size(); ++place) add(parameter.files[place], place);
    if (with_mtp) {
      for (const auto& copy : parameter.copies) add(copy, 0);
    }
  }
  return tensors;
}

Json generation_config(const Json& config) {
  Json json{{"_from_model_config", true}};
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (config.contains(key) && !config[key].is_null()) json[key] = config[key];
  }
  json["do_sample"] = false;
  return json;
}

// What transformers, vLLM or llama.cpp would read differently or not at all; the export is right, and they may change.
void warn_about_engines(const Json& config, FileDtype dtype, const fs::path& directory) {
  const auto warn = [&](std::string_view text) { log_warning("{}: {}", directory.string(), text); };
  const auto integer = [&](const char* key) { return config.value(key, std::int64_t{0}); };
  const bool direct_q = config.contains("q_lora_rank") && config["q_lora_rank"].is_null();
  const std::int64_t layers = integer("num_hidden_layers"), groups = integer("n_group");
  if (direct_q && layers != 26 && layers != 27) warn("q_lora_rank is null; llama.cpp needs one (except for 26 or 27 layers)");
  if (!direct_q && (layers == 26 || layers == 27)) warn("llama.cpp takes 26 or 27 layers for a model without q_lora_rank");
  if (config.value("rms_norm_eps", 1e-6) != 1e-6)
    warn("rms_norm_eps is not 1e-6, which transformers uses for the latents' norms whatever it says");
  if (groups > 1 && integer("topk_group") >= groups) warn("topk_group is not less than n_group, which llama.cpp asks for");
  if (dtype == FileDtype::f16) warn("F16 has little range; vLLM scales the residual stream to fit. bf16 is safer");
}

Result<void> check_target(const fs::path& directory) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(directory, ignored))) return {};
  if (!fs::is_directory(directory, ignored))
    return input_error("{}: exists and is not a directory; nothing is written over", directory.string());
  TRY_ASSIGN(const auto names, list_directory(directory));
  if (names.empty()) return {};
  return input_error("{}: exists and is not empty (it holds {}); nothing is written over, name a new directory", directory.string(),
                     names.front());
}

}  // namespace

Result<void> export_huggingface(const ModelSource& source, const fs::path& directory, const ExportOptions& options) {
  TRY_ASSIGN(const Format format, find_format(options.dtype));
  if (options.with_mtp && !source.model().has_mtp())
    return input_error("{}: has no MTP layer to export; leave out --with-mtp", source.description());
  CHECK(options.shard_bytes_max > 0, "shards of {} bytes", options.shard_bytes_max);
  // "out/" means "out", and a parent that is written out lets the sibling be named.
  if (directory.empty()) return input_error("export: no directory is given");
  std::error_code error;
  fs::path target = fs::absolute(directory, error).lexically_normal();
  if (error) return world_error("{}: cannot find its place: {}", directory.string(), error.message());
  if (!target.has_filename()) target = target.parent_path();
  TRY(check_target(target));
  TRY_ASSIGN(const auto tokenizer, source.tokenizer());
  const Json config = source.model().config_json(format.torch, options.with_mtp);
  warn_about_engines(config, format.dtype, directory);

  const fs::path aside = target.parent_path() / fmt::format(".{}.{}.tmp", target.filename().string(), ::getpid());
  const auto write = [&]() -> Result<void> {
    TRY(remove_tree(aside));
    TRY(create_directories_durably(aside));
    TRY(write_file_durably(aside / "config.json", write_json(config, 2) + "\n"));
    TRY(write_file_durably(aside / "generation_config.json", write_json(generation_config(config), 2) + "\n"));
    if (tokenizer) TRY(tokenizer->save(aside, source.model().context()));
    Current current;
    TRY(write_huggingface_weights(aside, outputs(source, format.dtype, options.with_mtp, current),
                                  static_cast<std::uint64_t>(options.shard_bytes_max)));
    return rename_durably(aside, target);
  };
  auto written = write();
  if (!written.ok()) static_cast<void>(remove_tree(aside));
  return written;
}

}  // namespace godwit::store
