#include "store/model_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <unordered_set>
#include <variant>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "store/checkpoint.h"
#include "store/huggingface_files.h"
#include "store/run_directory.h"

namespace godwit::store {

struct ModelSource::Files {
  std::variant<TensorSource, CheckpointReader> weights;
  std::optional<fs::path> tokenizer;
};

namespace {

constexpr std::size_t names_shown = 5;

bool there_is(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::vector<std::uint64_t> unsigned_shape(const program::Shape& shape, int from = 0) {
  std::vector<std::uint64_t> dimensions;
  for (int axis = from; axis < shape.rank(); ++axis) dimensions.push_back(static_cast<std::uint64_t>(shape[axis]));
  return dimensions;
}

// "a, b, c and 7 more"
std::string some_of(std::span<const std::string> names) {
  std::string text = fmt::format("{}", fmt::join(names.first(std::min(names.size(), names_shown)), ", "));
  if (names.size() > names_shown) text += fmt::format(" and {} more", names.size() - names_shown);
  return text;
}

Result<Json> read_json_object(const fs::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path));
  TRY_ASSIGN(Json json, parse_json(text, path.string()));
  if (!json.is_object()) return input_error("{}: is not a JSON object", path.string());
  return json;
}

std::optional<fs::path> tokenizer_in(const fs::path& directory) {
  return there_is(directory / "tokenizer.json") ? std::optional(directory) : std::nullopt;
}

// ---- Hugging Face directories ----

// FP8 as DeepSeek releases it is the one quantization that is read; of any other the weights would be taken for what they are not.
Result<void> check_quantization(const Json& config, const fs::path& path) {
  const Json* found = config.find("quantization_config");
  if (found == nullptr || found->is_null()) return {};
  if (!found->is_object()) return input_error("{}: quantization_config is {}, not an object", path.string(), write_json(*found));
  const auto only = [&](const char* key, const Json& value, bool required) -> Result<void> {
    const Json* member = found->find(key);
    if (member == nullptr ? !required : *member == value) return {};
    return input_error("{}: quantization_config.{} = {} is not supported, only {}; take the model's unquantized weights", path.string(),
                       key, member == nullptr ? "nothing" : write_json(*member), write_json(value));
  };
  TRY(only("quant_method", "fp8", true));
  TRY(only("fmt", "e4m3", false));
  return only("weight_block_size", Json::array({128, 128}), false);
}

std::string dtype_of_config(const Json& config) {
  for (const char* key : {"dtype", "torch_dtype"}) {
    const Json* found = config.find(key);
    if (found != nullptr && found->is_string()) return *found == "bfloat16" ? "bf16" : "f32";
  }
  return "f32";
}

// Where an MTP layer's tensors lie: the layer after the last, as all who write this format agree.
std::string mtp_prefix(const Json& config) {
  const Json* found = config.find("num_hidden_layers");
  return found != nullptr && found->is_number_integer() ? fmt::format("model.layers.{}.", found->get<std::int64_t>()) : std::string();
}

bool holds_mtp(const model::Model& model, const TensorSource& source) {
  for (const auto& parameter : model.parameters()) {
    const auto there = [&](const std::string& name) { return source.find(name) != nullptr; };
    if (parameter.mtp && std::any_of(parameter.files.begin(), parameter.files.end(), there)) return true;
    if (std::any_of(parameter.copies.begin(), parameter.copies.end(), there)) return true;
  }
  return false;
}

// Every file of a parameter has the parameter's shape and can be read; a copy equals what it is a copy of.
Result<void> check_parameter(const model::Parameter& parameter, const TensorSource& source, const fs::path& config) {
  const auto shape = unsigned_shape(parameter.shape, parameter.stacked() ? 1 : 0);
  for (const auto& name : parameter.files) {
    const auto& entry = *source.find(name);
    if (entry.shape != shape) {
      return input_error("{}: {} has shape {}, {} asks for {}", source.file_of(name), name, shape_text(entry.shape), config.string(),
                         shape_text(shape));
    }
    TRY(source.check_readable(name));
  }
  for (const auto& name : parameter.copies) {
    const auto* copy = source.find(name);
    if (copy == nullptr) continue;
    const auto& original = *source.find(parameter.files.front());
    if (copy->dtype != original.dtype || copy->shape != original.shape || !std::ranges::equal(copy->bytes, original.bytes)) {
      return input_error("{}: {} ({} {}) differs from {} ({} {}); the MTP layer shares it, so both must be equal byte for byte",
                         source.file_of(name), name, dtype_name(copy->dtype), shape_text(copy->shape), original.name,
                         dtype_name(original.dtype), shape_text(original.shape));
    }
  }
  return {};
}

// Exactly the model's weights are there, each of its shape.
Result<void> check_weights(const model::Model& model, const TensorSource& source, const fs::path& directory, const std::string& mtp) {
  const fs::path config = directory / "config.json";
  std::unordered_set<std::string_view> known;
  std::vector<std::string> missing, unknown, ignored;
  for (const auto& parameter : model.parameters()) {
    for (const auto& name : parameter.files) {
      known.insert(name);
      if (source.find(name) == nullptr) missing.push_back(name);
    }
    known.insert(parameter.copies.begin(), parameter.copies.end());
  }
  for (const auto& name : source.weight_names()) {
    if (known.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
    (!model.has_mtp() && !mtp.empty() && name.starts_with(mtp) ? ignored : unknown).push_back(name);
  }
  if (!missing.empty() || !unknown.empty()) {
    std::string text;
    if (!missing.empty()) text = fmt::format("{} weights that config.json asks for are missing: {}", missing.size(), some_of(missing));
    if (!unknown.empty()) {
      text += fmt::format("{}{} tensors are no weights of this model: {}", text.empty() ? "" : "; ", unknown.size(), some_of(unknown));
    }
    return input_error("{}: {}", directory.string(), text);
  }
  if (!ignored.empty()) {
    log_warning("{}: config.json says no MTP layer; the {} tensors of {}* in the files are ignored", directory.string(), ignored.size(),
                mtp);
  }
  for (const auto& parameter : model.parameters()) TRY(check_parameter(parameter, source, config));
  return {};
}

// ---- Runs ----

struct Selection {
  fs::path path;
  std::string selector;  // "", "best" or a step
};

Selection split(const std::string& model) {
  // A directory may have an @ in its name.
  const std::size_t at = model.rfind('@');
  if (at == std::string::npos || there_is(model)) return {model, ""};
  return {model.substr(0, at), model.substr(at + 1)};
}

bool is_run(const fs::path& path) {
  const RunDirectory run{path};
  return there_is(run.config()) && there_is(run.checkpoints());
}

Result<CheckpointReader> open_newest(const RunDirectory& run) {
  TRY_ASSIGN(auto steps, list_checkpoints(run.checkpoints()));
  if (steps.empty()) return input_error("{}: the run has no checkpoint yet", run.root.string());
  for (; !steps.empty(); steps.pop_back()) {
    auto reader = CheckpointReader::open(run.checkpoints(), steps.back());
    if (reader.ok()) return reader;
    log_warning("checkpoint {} is passed over: {}", steps.back(), reader.error().message);
  }
  return differs_error("{}: no checkpoint of the run is intact (see the warnings)", run.root.string());
}

Result<CheckpointReader> open_selected(const RunDirectory& run, const std::string& selector) {
  if (selector.empty()) return open_newest(run);
  std::uint64_t step = 0;
  if (selector == "best") {
    TRY_ASSIGN(const auto best, read_best(run));
    if (!best) return input_error("{}: the run has no best checkpoint: nothing was evaluated yet (see evaluate_every)", run.root.string());
    step = best->step;
  } else {
    const auto [end, error] = std::from_chars(selector.data(), selector.data() + selector.size(), step);
    if (error != std::errc() || end != selector.data() + selector.size())
      return input_error("{}@{}: after @ comes a step or the word best", run.root.string(), selector);
  }
  TRY_ASSIGN(const auto steps, list_checkpoints(run.checkpoints()));
  if (!std::binary_search(steps.begin(), steps.end(), step)) {
    return input_error("{}: has no checkpoint of step {}; it has {}", run.root.string(), step,
                       steps.empty() ? "none" : fmt::format("{}", fmt::join(steps, ", ")));
  }
  return CheckpointReader::open(run.checkpoints(), step);
}

Result<void> check_parameters(const model::Model& model, const CheckpointReader& reader, const fs::path& checkpoint,
                              const fs::path& config) {
  for (const auto& parameter : model.parameters()) {
    const auto* found = reader.find(parameter.name);
    const auto shape = unsigned_shape(parameter.shape);
    if (found == nullptr) return input_error("{}: has no {}, which {} asks for", checkpoint.string(), parameter.name, config.string());
    if (found->dtype != "F32" || found->shape != shape) {
      return input_error("{}: {} is {} {}, {} asks for F32 {}", checkpoint.string(), parameter.name, found->dtype, shape_text(found->shape),
                         config.string(), shape_text(shape));
    }
  }
  return {};
}

}  // namespace

Result<ModelSource> ModelSource::open(const std::string& model) {
  const auto [path, selector] = split(model);
  ModelSource source;
  if (!is_run(path)) {
    if (!there_is(path / "config.json")) {
      const std::string what = !there_is(path)                         ? "does not exist"
                               : there_is(RunDirectory{path}.config()) ? "is a run without checkpoints"
                                                                       : "has neither config.json nor config.toml";
      return input_error("{}: {}; a model is a Hugging Face directory, a run directory, RUN@STEP or RUN@best", path.string(), what);
    }
    if (!selector.empty()) return input_error("{}: is a Hugging Face directory; @{} is for runs", path.string(), selector);
    const fs::path config_path = path / "config.json";
    TRY_ASSIGN(Json config, read_json_object(config_path));
    TRY(check_quantization(config, config_path));
    TRY_ASSIGN(source.model_, model::model_from_config(config, config_path.string()));
    TRY_ASSIGN(auto weights, TensorSource::open(path));
    if (source.model_->has_mtp() && !holds_mtp(*source.model_, weights)) {
      log_warning("{}: says 1 MTP layer, the files hold none; the model has none", config_path.string());
      config["num_nextn_predict_layers"] = 0;
      TRY_ASSIGN(source.model_, model::model_from_config(config, config_path.string()));
    }
    TRY(check_weights(*source.model_, weights, path, mtp_prefix(config)));
    source.dtype_ = dtype_of_config(config);
    source.description_ = path.string();
    source.files_ = std::make_shared<const Files>(Files{std::move(weights), tokenizer_in(path)});
    return source;
  }

  const RunDirectory run{path};
  TRY_ASSIGN(const Json config, read_json_object(run.model_config()));
  TRY_ASSIGN(source.model_, model::model_from_config(config, run.model_config().string()));
  TRY_ASSIGN(const Json record, read_json_object(run.model_run()));
  const Json dtype = record.value("dtype", Json());
  if (dtype != "f32" && dtype != "bf16")
    return input_error("{}: dtype is {}, not \"f32\" or \"bf16\"", run.model_run().string(), write_json(dtype));
  TRY_ASSIGN(auto reader, open_selected(run, selector));
  const std::uint64_t step = reader.content().info.step;
  TRY(check_parameters(*source.model_, reader, run.checkpoints() / std::to_string(step), run.model_config()));
  source.dtype_ = dtype.get<std::string>();
  source.description_ = fmt::format("{}, step {}", path.string(), step);
  source.run_ = std::pair(path, step);
  source.files_ = std::make_shared<const Files>(Files{std::move(reader), tokenizer_in(run.tokenizer())});
  return source;
}

Result<void> ModelSource::read(std::size_t index, std::span<float> values) const {
  const auto& parameter = model_->parameters().at(index);
  CHECK(values.size() == static_cast<std::size_t>(parameter.shape.count()), "{} has {} elements, not {}", parameter.name,
        parameter.shape.count(), values.size());
  if (const auto* reader = std::get_if<CheckpointReader>(&files_->weights))
    return reader->read(parameter.name, std::as_writable_bytes(values));
  const auto& source = std::get<TensorSource>(files_->weights);
  const std::size_t each = values.size() / parameter.files.size();
  for (std::size_t i = 0; i < parameter.files.size(); ++i) TRY(source.read_f32(parameter.files[i], values.subspan(i * each, each)));
  return {};
}

Result<std::optional<text::Tokenizer>> ModelSource::tokenizer() const {
  if (!files_->tokenizer) return std::optional<text::Tokenizer>();
  TRY_ASSIGN(auto tokenizer, text::Tokenizer::load(*files_->tokenizer));
  return std::optional(std::move(tokenizer));
}

std::optional<std::filesystem::path> ModelSource::tokenizer_directory() const {
  return files_->tokenizer;
}

Result<Digest> ModelSource::digest() const {
  if (const auto* reader = std::get_if<CheckpointReader>(&files_->weights)) return reader->content().info.digest;
  return std::get<TensorSource>(files_->weights).digest();
}

}  // namespace godwit::store
