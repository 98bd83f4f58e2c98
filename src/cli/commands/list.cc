// godwit list: what this build knows, by name.
#include <fmt/format.h>

#include <algorithm>

#include "base/config.h"
#include "bench/bench.h"
#include "cli/command.h"
#include "cli/common.h"
#include "data/task.h"
#include "device/backends.h"
#include "model/family.h"
#include "program/op.h"
#include "store/dtype.h"
#include "train/run.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string thing;
  bool json = false;
};

// Of every entry at least "name"; the other members are printed behind it.
Json list_ops() {
  Json entries = Json::array();
  for (const program::Op* op : program::all_ops()) {
    entries.push_back({{"name", op->name}, {"inputs", op->inputs}, {"outputs", op->outputs}, {"attributes", op->attributes}});
  }
  return entries;
}

Json list_backends() {
  Json entries = Json::array();
  for (const device::BackendPlace& place : device::backend_places()) entries.push_back({{"name", place.name}});
  return entries;
}

Json list_benches() {
  Json entries = Json::array();
  for (const bench::Bench* bench : bench::all_benches()) {
    entries.push_back({{"name", bench->name}, {"summary", bench->summary}, {"jobs", bench->jobs}});
  }
  return entries;
}

Json list_families() {
  Json entries = Json::array();
  for (const model::Family* family : model::all_families()) entries.push_back({{"name", family->name}, {"presets", family->presets()}});
  return entries;
}

Json list_presets() {
  Json entries = Json::array();
  for (const model::Family* family : model::all_families()) {
    for (const std::string_view name : family->presets()) {
      const Json* config = family->preset(name);
      CHECK(config != nullptr, "{} lists the preset {} and does not have it", family->name, name);
      const auto model = family->from_config(*config, name);
      CHECK(model.ok(), "the preset {} is refused: {}", name, model.error().message);
      entries.push_back({{"name", name},
                         {"family", family->name},
                         {"parameters", (*model)->parameter_count()},
                         {"active", (*model)->active_parameter_count()}});
    }
  }
  return entries;
}

Json list_commands() {
  Json entries = Json::array();
  for (const Command* command : all_commands()) {
    if (!command->hidden) entries.push_back({{"name", command->name}, {"summary", command->summary}});
  }
  return entries;
}

Json list_dtypes() {
  return Json::array({{{"name", "f32"}, {"use", "computing, export, weights read"}},
                      {{"name", "bf16"}, {"use", "computing, export, weights read"}},
                      {{"name", "f16"}, {"use", "export, weights read"}},
                      {{"name", "f8_e4m3"}, {"use", "weights read, with their weight_scale_inv"}}});
}

Json list_keys() {
  Json entries = Json::array();
  for (const ConfigKey& key : train::all_config_keys()) {
    Json entry = {{"name", key.section + "." + key.key}, {"default", key.fallback}, {"may_change", key.may_change}};
    if (!key.choices.empty()) entry["choices"] = key.choices;
    entry["meaning"] = key.description;
    entries.push_back(std::move(entry));
  }
  return entries;
}

Json list_tasks() {
  Json entries = Json::array();
  for (const data::Task* task : data::all_tasks()) {
    std::vector<std::string_view> options;
    for (const data::TaskOption& option : data::task_options(*task)) options.push_back(option.name);
    entries.push_back({{"name", task->name}, {"options", std::move(options)}, {"summary", task->summary}});
  }
  return entries;
}

struct Thing {
  std::string_view name;
  std::string_view summary;
  Json (*entries)();
};

constexpr Thing things[] = {
    {"backends", "kinds of chip", list_backends},
    {"benches", "what godwit bench measures", list_benches},
    {"commands", "of this program", list_commands},
    {"dtypes", "types of numbers, and where they may stand", list_dtypes},
    {"families", "kinds of model, by config.json's model_type", list_families},
    {"keys", "of a training run's config", list_keys},
    {"ops", "of programs; docs/arithmetic.md defines each", list_ops},
    {"presets", "ready-made sizes for [model] preset", list_presets},
    {"tasks", "problems with answers that can be verified", list_tasks},
};

std::string plain(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.is_null() ? "-" : write_json(value);
  std::vector<std::string> items;
  for (const Json& item : value) items.push_back(plain(item));
  return fmt::format("{}", fmt::join(items, " "));
}

Result<void> print_lines(const Json& entries) {
  std::size_t width = 0;
  for (const Json& entry : entries) width = std::max(width, entry["name"].string().size());
  for (const Json& entry : entries) {
    std::string line = fmt::format("{:<{}}", entry["name"].get<std::string>(), width);
    for (const auto& [key, value] : entry.items()) {
      if (key == "name") continue;
      line += key == "summary" || key == "use" || key == "meaning" ? "  " + plain(value) : fmt::format("  {}: {}", key, plain(value));
    }
    line.erase(line.find_last_not_of(' ') + 1);
    TRY(print(line + "\n"));
  }
  return {};
}

Result<int> run(const Options& options) {
  std::vector<std::string> names;
  Json entries = Json::array();
  for (const Thing& thing : things) {
    names.emplace_back(thing.name);
    entries.push_back({{"name", thing.name}, {"summary", thing.summary}});
  }
  if (options.thing == "config") {  // docs/config.md is made of this
    TRY(print(config_reference(train::all_config_keys(), train::open_config_sections())));
    return exit_finished;
  }
  if (!options.thing.empty()) {
    const auto place = std::ranges::find(things, options.thing, &Thing::name);
    if (place == std::end(things)) {
      const std::string near = nearest_name(options.thing, names);
      return input_error("there is no list of '{}'{}", options.thing,
                         near.empty() ? fmt::format("; there are: {}", fmt::join(names, ", ")) : fmt::format("; did you mean {}?", near));
    }
    entries = place->entries();
  }
  if (options.json) {
    TRY(print_json(entries));
  } else {
    TRY(print_lines(entries));
  }
  return exit_finished;
}

}  // namespace

extern const Command list;
const Command list{
    .name = "list",
    .summary = "List what there is of a thing: ops, backends, benches, families, presets, tasks, commands, dtypes, keys.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("THING", options->thing, "What to list; without it, what can be listed. config: the keys as Markdown");
      app.add_flag("--json", options->json, "Print one JSON document");
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
