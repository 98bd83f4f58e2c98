#include "train/setup.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "train/programs.h"
#include "train/rl_settings.h"
#include "train/run.h"

namespace godwit::train {

namespace {

std::vector<std::string> model_key_names() {
  std::vector<std::string> names = {"pad_token_id", "rope_parameters"};  // keys that no preset has
  for (const model::Family* family : model::all_families()) {
    for (const std::string_view preset : family->presets()) {
      for (const auto& item : family->preset(preset)->items()) {
        if (std::find(names.begin(), names.end(), item.key) == names.end()) names.push_back(item.key);
      }
    }
  }
  return names;
}

bool reads_text(const Config& config) {
  return trains_by_roll_outs(config) || config.text("data", "kind") != "ids";
}

Result<std::optional<text::Tokenizer>> open_tokenizer(const Config& config, const std::optional<store::ModelSource>& init) {
  const bool path = config.given("tokenizer", "path");
  const bool kind = config.given("tokenizer", "kind");
  if (path && kind) return input_error("{}: [tokenizer] takes path or kind, not both", config.origin("tokenizer", "kind"));
  if (path) {
    TRY_ASSIGN(text::Tokenizer tokenizer, text::Tokenizer::load(config.text("tokenizer", "path")));
    return std::optional(std::move(tokenizer));
  }
  if (kind) {
    const bool characters = config.text("tokenizer", "kind") == "characters";
    return std::optional(characters ? text::Tokenizer::characters() : text::Tokenizer::bytes());
  }
  if (init) {
    TRY_ASSIGN(auto tokenizer, init->tokenizer());
    if (tokenizer) return tokenizer;
  }
  if (reads_text(config)) return std::optional(text::Tokenizer::bytes());
  return std::optional<text::Tokenizer>();
}

// The fresh model's config.json: preset, tokenizer's facts, keys of the user's own.
Result<Json> fresh_model_config(const Config& config, const std::optional<text::Tokenizer>& tokenizer) {
  const std::string family_name = config.text("model", "family");
  TRY_ASSIGN(const model::Family* family, model::find_family(family_name, config.origin("model", "family")));
  Json json = Json::object();
  if (config.has("model", "preset")) {
    const std::string name = config.text("model", "preset");
    const Json* preset = family->preset(name);
    if (preset == nullptr) {
      std::vector<std::string> known;
      for (const std::string_view each : family->presets()) known.emplace_back(each);
      return input_error("{}: there is no preset '{}' of {}; there are: {}", config.origin("model", "preset"), name, family_name,
                         fmt::join(known, ", "));
    }
    json = *preset;
  }
  json["model_type"] = family_name;
  if (tokenizer) {
    json["vocab_size"] = (tokenizer->vocab_size() + 63) / 64 * 64;
    if (tokenizer->bos()) json["bos_token_id"] = *tokenizer->bos();
    if (tokenizer->eos()) json["eos_token_id"] = *tokenizer->eos();
    if (tokenizer->pad()) json["pad_token_id"] = *tokenizer->pad();
  }
  const Json given = config.section("model");
  for (const auto& item : given.items()) {
    if (item.key == "init" || item.key == "family" || item.key == "preset" || item.value.is_null()) continue;
    json[item.key] = item.value;
  }
  return json;
}

std::string tokenizer_digest(const text::Tokenizer& tokenizer) {
  return hex(sha256(as_bytes(tokenizer.json())));
}

// What a step of this setup computes, whatever the passes it is cut into: SHA-256 of its model's config, whose numbers are in constants too
// (rope_theta), and of its programs.
std::string programs_digest(const Setup& setup) {
  Settings settings = setup.program_settings();
  if (!setup.roll_outs) settings.run.micro_batch = 1;
  settings.run.recompute = false;
  const Programs programs(*setup.model, settings, setup.predictions_max(), false);
  Sha256 sha;
  sha.update(write_json(setup.model->config_json("float32", true)) + "\n");
  for (const program::Program* program : {&programs.training, &programs.join, &programs.norm, &programs.update}) {
    sha.update(program->name + "\n" + program->text());
  }
  return hex(sha.finish());
}

// A resumed run goes on with what it began with: the same programs, or other bits than its journal has would come of it.
Result<void> check_programs(const Setup& setup, const store::RunDirectory& run) {
  TRY_ASSIGN(const std::string text, read_file(run.model_run(), 1 << 20));
  TRY_ASSIGN(const Json record, parse_json(text, run.model_run().string()));
  const std::string then = record.value("programs", std::string()), now = programs_digest(setup);
  if (then.empty() || then == now) return {};
  return input_error(
      "the run in '{}' began with a model and programs of SHA-256 {}; of its {} this godwit makes others, SHA-256 {}: go on with the "
      "godwit that began it and with that file as it was, or begin another run from its weights: [model] init = \"{}\"",
      run.root.string(), then, run.model_config().string(), now, run.root.string());
}

// The files that a run's data came from, as its directory has them; empty where it says nothing.
std::vector<data::DataFile> recorded_files(const store::RunDirectory& run) {
  std::vector<data::DataFile> files;
  const auto text = read_file(run.sources(), 1 << 24);
  if (!text.ok()) return files;
  const auto json = parse_json(*text, run.sources().string());
  if (!json.ok() || !json->is_array()) return files;
  for (const Json& each : *json) {
    if (!each.is_object()) continue;
    const auto digest = parse_digest(each.value("sha256", std::string()));
    if (digest.ok()) files.push_back({each.value("path", std::string()), each.value("bytes", std::uint64_t{0}), *digest});
  }
  return files;
}

std::string file_text(const data::DataFile& file) {
  return fmt::format("{} ({} bytes, SHA-256 {})", file.path.string(), file.bytes, hex(file.digest));
}

// Which of the files are not those the run began with.
Error other_data(const store::RunDirectory& run, const std::vector<data::DataFile>& now, const std::string& digests) {
  const std::vector<data::DataFile> then = recorded_files(run);
  std::vector<std::string> differences;
  for (std::size_t i = 0; i < std::max(then.size(), now.size()); ++i) {
    if (i < then.size() && i < now.size() && then[i].digest == now[i].digest) continue;
    differences.push_back(
        fmt::format("{}, then {}", i < now.size() ? file_text(now[i]) : "nothing", i < then.size() ? file_text(then[i]) : "nothing"));
  }
  return input_error("the data are not those the run in '{}' began with ({}): give it the old files", run.root.string(),
                     then.empty() || differences.empty() ? digests : fmt::format("now {}", fmt::join(differences, "; now ")));
}

// A task, unlike a file, is known to a run by its name: where that has changed, it is what makes the data others. Else empty.
std::string changed_task(const Config& now, const Config& then) {
  for (const char* section : {"rl", "data"}) {
    const std::string here = now.has(section, "task") ? now.text(section, "task") : "";
    const std::string there = then.has(section, "task") ? then.text(section, "task") : "";
    if (here != there) return fmt::format("{}.task: \"{}\" there, \"{}\" here", section, there, here);
  }
  return "";
}

// With [rl] there need be no data.
Result<void> check_kind_of_data(const Config& config) {
  if (trains_by_roll_outs(config) || config.has("data", "kind")) return {};
  return input_error("{} is missing and has no default; write it there, or add --set data.kind=VALUE", config.origin("data", "kind"));
}

Result<std::unique_ptr<data::Dataset>> open_data(const Config& config, const Setup& setup, const store::RunDirectory& run,
                                                 const std::function<void(double)>& tokenizing, const std::function<bool()>& interrupted) {
  data::DatasetOptions options = dataset_options(setup, run);
  options.progress = tokenizing;
  options.interrupted = interrupted;
  Result<std::unique_ptr<data::Dataset>> dataset = data::open_dataset(config, options);
  if (!dataset.ok() && dataset.error().kind == ErrorKind::input && setup.resumed) {
    std::vector<std::string> then;
    for (const data::DataFile& file : recorded_files(run)) then.push_back(file_text(file));
    return input_error("{}; the run in '{}' began with {}", dataset.error().message, run.root.string(), fmt::join(then, ", "));
  }
  return dataset;
}

}  // namespace

Settings Setup::program_settings() const {
  Settings made = settings;
  if (!roll_outs) return made;
  made.run.micro_batch = roll_outs->group();
  made.run.batch = settings.run.batch * roll_outs->group();
  // The losses beside the one that is learned from are of texts, not of completions that are weighed.
  made.optimizer.mtp_loss = 0;
  made.optimizer.balance_loss = 0;
  return made;
}

data::DatasetOptions dataset_options(const Setup& setup, const store::RunDirectory& run) {
  data::DatasetOptions options;
  options.seed = setup.settings.run.seed;
  options.vocab_size = setup.model->vocab_size();
  options.tokenizer = setup.tokenizer ? &*setup.tokenizer : nullptr;
  options.cache = run.data();
  return options;
}

std::vector<ConfigKey> all_config_keys() {
  std::vector<ConfigKey> keys = config_keys();
  for (ConfigKey& key : data::config_keys()) keys.push_back(std::move(key));
  for (ConfigKey& key : rl_config_keys()) keys.push_back(std::move(key));
  return keys;
}

std::vector<OpenSection> open_config_sections() {
  return {{"model", model_key_names()}};
}

Result<Setup> make_setup(Config config, const store::RunDirectory& run, const std::function<void(double)>& tokenizing,
                         const std::function<bool()>& interrupted, const OpenRollOuts& open_roll_outs) {
  Setup setup;
  setup.resumed = fs::exists(run.config());
  std::string other_task;
  if (setup.resumed) {
    const auto keys = all_config_keys();
    const auto sections = open_config_sections();
    TRY_ASSIGN(Config earlier, Config::load(run.config(), {}, keys, sections));
    // What the run itself resolved is part of the config from now on.
    for (const auto& [section, key] :
         {std::pair{"optimizer", "schedule_steps"}, std::pair{"tokenizer", "digest"}, std::pair{"data", "digest"}}) {
      if (!config.given(section, key) && earlier.has(section, key)) config.set(section, key, earlier.value(section, key));
    }
    if (!config.given("tokenizer", "path") && !config.given("tokenizer", "kind") && earlier.given("tokenizer", "kind")) {
      config.set("tokenizer", "kind", earlier.value("tokenizer", "kind"));
    }
    const std::vector<std::string> differences = config.differences(earlier);
    if (!differences.empty()) {
      return input_error("the run in '{}' was started with another config: {}; use another --run directory, or the old values",
                         run.root.string(), fmt::join(differences, "; "));
    }
    setup.steps_before = earlier.integer("run", "steps");
    other_task = changed_task(config, earlier);
  } else {
    if (!config.has("optimizer", "schedule_steps"))
      config.set("optimizer", "schedule_steps", std::max<std::int64_t>(1, config.integer("run", "steps")));
  }
  TRY(check_kind_of_data(config));
  TRY_ASSIGN(setup.settings, read_settings(config));

  if (!setup.resumed && config.has("model", "init")) {
    TRY_ASSIGN(setup.init, store::ModelSource::open(config.text("model", "init")));
    const std::string family = setup.init->model().config_json("float32", false).value("model_type", std::string());
    const Json given = config.section("model");
    for (const auto& item : given.items()) {
      if (item.key == "init" || !config.given("model", item.key)) continue;
      if (item.key == "family" && config.text("model", "family") == family) continue;  // as a run's config.toml says it
      return input_error("{}: with [model] init the model's config is that of '{}'; remove {}", config.origin("model", item.key),
                         config.text("model", "init"), item.key);
    }
  }
  if (setup.resumed) {
    if (fs::exists(run.tokenizer() / "tokenizer.json")) {
      TRY_ASSIGN(setup.tokenizer, text::Tokenizer::load(run.tokenizer()));
    }
    TRY_ASSIGN(const std::string text, read_file(run.model_config(), 1 << 20));
    TRY_ASSIGN(const Json json, parse_json(text, run.model_config().string()));
    TRY_ASSIGN(setup.model, model::model_from_config(json, run.model_config().string()));
    if (config.given("tokenizer", "path")) {
      TRY_ASSIGN(const text::Tokenizer now, text::Tokenizer::load(config.text("tokenizer", "path")));
      if (!setup.tokenizer || tokenizer_digest(now) != tokenizer_digest(*setup.tokenizer)) {
        return input_error(
            "{}: the tokenizer, SHA-256 {} of {} tokens, is not the one the run in '{}' began with, {}: give it that one, or none",
            config.origin("tokenizer", "path"), tokenizer_digest(now), now.vocab_size(), run.root.string(),
            setup.tokenizer ? fmt::format("{} of {} tokens", tokenizer_digest(*setup.tokenizer), setup.tokenizer->vocab_size())
                            : "which has none");
      }
    }
    const std::string then = config.has("tokenizer", "digest") ? config.text("tokenizer", "digest") : "";
    const std::string kept = setup.tokenizer ? tokenizer_digest(*setup.tokenizer) : "";
    if (then != kept) {
      return input_error("{}: the run's tokenizer has SHA-256 {}, it began with {}: put it back as it was", run.tokenizer().string(),
                         kept.empty() ? "none, it is gone" : kept, then);
    }
  } else {
    TRY_ASSIGN(setup.tokenizer, open_tokenizer(config, setup.init));
    Json json;
    if (setup.init) {
      json = setup.init->model().config_json("float32", true);
    } else {
      if (config.section("model").size() <= 1 && trains_by_roll_outs(config)) {  // the family's default alone
        return input_error("[model] says nothing: give the model to begin with, --set model.init=RUN");
      }
      TRY_ASSIGN(json, fresh_model_config(config, setup.tokenizer));
    }
    TRY_ASSIGN(setup.model, model::model_from_config(json, "[model]"));
    if (setup.tokenizer) config.set("tokenizer", "digest", tokenizer_digest(*setup.tokenizer));
  }
  if (setup.tokenizer && setup.tokenizer->vocab_size() > setup.model->vocab_size()) {
    return input_error("the tokenizer has {} tokens, the model's vocab_size is {}: give the model a vocab_size of at least {}",
                       setup.tokenizer->vocab_size(), setup.model->vocab_size(), (setup.tokenizer->vocab_size() + 63) / 64 * 64);
  }

  if (trains_by_roll_outs(config)) {
    if (!open_roll_outs)
      return input_error("{}: this is a config of reinforcement learning: godwit rl takes it", config.origin("rl", "task"));
    TRY_ASSIGN(OpenedRollOuts opened, open_roll_outs(config, setup.settings, *setup.model, setup.tokenizer ? &*setup.tokenizer : nullptr));
    setup.dataset = std::move(opened.prompts);
    setup.roll_outs = std::move(opened.roll_outs);
  } else {
    TRY_ASSIGN(setup.dataset, open_data(config, setup, run, tokenizing, interrupted));
  }
  if (setup.predictions_max() > setup.model->context()) {
    return input_error("{}: sequences of {} predictions do not fit the model's max_position_embeddings = {}",
                       config.origin("data", config.given("data", "task") ? "task" : "sequence"), setup.predictions_max(),
                       setup.model->context());
  }
  const std::string digest = hex(setup.dataset->digest());
  if (setup.resumed && config.has("data", "digest") && config.text("data", "digest") != digest) {
    if (!other_task.empty() && setup.dataset->files().empty()) {
      return input_error("the run in '{}' was started with another config: {}; use another --run directory, or the old values",
                         run.root.string(), other_task);
    }
    return other_data(run, setup.dataset->files(),
                      fmt::format("digest {} then, {} now", config.text("data", "digest").substr(0, 16), digest.substr(0, 16)));
  }
  if (setup.resumed) TRY(check_programs(setup, run));
  config.set("data", "digest", digest);
  setup.config = std::move(config);
  return setup;
}

Result<void> write_record(const Setup& setup, const store::RunDirectory& run) {
  TRY(create_directories_durably(run.root / "model"));
  TRY(write_file_durably(run.model_config(), write_json(setup.model->config_json("float32", true), 2) + "\n"));
  Json record;
  record["dtype"] = setup.settings.run.dtype == program::Dtype::bf16 ? "bf16" : "f32";
  record["programs"] = programs_digest(setup);
  TRY(write_file_durably(run.model_run(), write_json(record) + "\n"));
  if (setup.tokenizer) TRY(setup.tokenizer->save(run.tokenizer(), setup.model->context()));
  Json sources = Json::array();
  for (const data::DataFile& file : setup.dataset->files()) {
    Json source;
    source["path"] = fs::absolute(file.path).string();
    source["bytes"] = file.bytes;
    source["sha256"] = hex(file.digest);
    sources.push_back(std::move(source));
  }
  TRY(write_file_durably(run.sources(), write_json(sources, 2) + "\n"));
  // Last: a directory with config.toml is a run.
  return write_file_durably(run.config(), setup.config.toml());
}

}  // namespace godwit::train
