#include "data/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "data/dataset.h"
#include "data/kinds.h"

namespace godwit::data {
namespace {

constexpr double sequence_max = 1 << 24;
constexpr double validation_max = 0.9;
constexpr std::string_view mix = "mix";

double validation_by_default(std::string_view kind) {
  return kind == "text" ? 0.1 : 0;
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
  for (const Kind& kind : all_kinds()) names.emplace_back(kind.name);
  return names;
}

std::string listed(const std::vector<std::string>& names) {
  return fmt::format("{}", fmt::join(names, ", "));
}

// What single keys cannot say.
Result<void> check(const DataSettings& settings) {
  if (settings.kind == "ids" && settings.paths.size() != 1) {
    return input_error("{}: kind \"ids\" reads one file, path names {}", settings.place, settings.paths.size());
  }
  if ((settings.kind == "text" || settings.kind == "chat") && settings.paths.empty())
    return input_error("{}: kind \"{}\" needs path, a file or a list of files", settings.place, settings.kind);
  for (const auto& path : settings.paths) {
    if (path.empty()) return input_error("{}: path names a file with an empty name", settings.place);
  }
  if (settings.kind == mix && !settings.paths.empty())
    return input_error("{}: a mix has no path of its own; each of its parts has one", settings.place);
  if (settings.kind == "task") {
    if (settings.task.empty())
      return input_error("{}: kind \"task\" needs task, a task's name or a .jsonl file of problems", settings.place);
    if (!settings.paths.empty()) return input_error("{}: path is for text, ids and chat; a task takes task = \"…\"", settings.place);
  } else if (!settings.task.empty() || !settings.options.is_null()) {
    return input_error("{}: {} is only for kind \"task\", and kind is \"{}\"", settings.place, settings.task.empty() ? "options" : "task",
                       settings.kind);
  }
  if (settings.kind == "text" && settings.text_key.empty())
    return input_error("{}: text is empty; it names the key of a .jsonl line that holds its text", settings.place);
  return {};
}

// Keys that mean nothing to a kind, or only to one. `given`: in the table that says the kind.
Result<void> check_given(const std::string& kind, std::string_view place, const std::function<bool(const char*)>& given) {
  if (kind != "chat" && kind != mix && given("too_long")) {
    return input_error("{}: too_long is only for kind \"chat\", and kind is \"{}\"", place, kind);
  }
  if (kind == "task") {
    if (given("validation")) {
      return input_error("{}: validation is a share of files; of a task validation_count documents are kept (default 256)", place);
    }
  } else if (kind != mix && given("validation_count")) {
    return input_error("{}: validation_count is only for kind \"task\", and kind is \"{}\"; set validation, a share", place, kind);
  }
  return {};
}

// A part's table; Config has checked its keys and values by the rules above. What the part leaves out is as `whole` says.
Result<DataSettings> read_part(const Json& part, const DataSettings& whole, bool validation_given, std::string place) {
  const std::vector<std::string> known{"kind", "path", "weight", "text", "sequence", "too_long", "validation", "task", "options", "validation_count"};
  for (const auto& [key, value] : part.items()) {
    if (std::ranges::find(known, key) == known.end()) {
      return input_error("{}: {} is for the whole of [data]; a part has {}", place, key, listed(known));
    }
  }
  DataSettings settings = whole;
  settings.place = std::move(place);
  settings.kind = part.value("kind", std::string());
  std::vector<std::string> kinds = kind_names();
  std::erase(kinds, mix);
  if (std::ranges::find(kinds, settings.kind) == kinds.end()) {
    return input_error("{}: {}; a part's kind is one of {}", settings.place,
                       settings.kind.empty() ? "has no kind" : fmt::format("kind is \"{}\"", settings.kind), listed(kinds));
  }
  for (const std::string& path : part.value("path", std::vector<std::string>())) settings.paths.emplace_back(path);
  settings.text_key = part.value("text", whole.text_key);
  settings.sequence = part.value("sequence", whole.sequence);
  settings.too_long = part.value("too_long", whole.too_long);
  settings.validation = part.value("validation", validation_given ? whole.validation : validation_by_default(settings.kind));
  settings.weight = part.value("weight", settings.weight);
  settings.task = part.value("task", std::string());
  settings.task_place = settings.place + ".task";
  settings.options = part.value("options", Json());
  if (part.contains("validation_count")) settings.validation_count = part["validation_count"].get<std::int64_t>();
  TRY(check_given(settings.kind, settings.place, [&](const char* key) { return part.contains(key); }));
  TRY(check(settings));
  return settings;
}

}  // namespace

std::vector<ConfigKey> config_keys() {
  using T = ConfigType;
  return {
      {.section = "data",
       .key = "kind",
       .type = T::text,
       .choices = kind_names(),
       .description = "`text`: files of text; `ids`: rows of token ids, in order, wrapping; `chat`: conversations, of which answers "
                      "are learned; `task`: documents of a task's problems; "
                      "`mix`: weighted `parts`."},
      {.section = "data",
       .key = "path",
       .type = T::texts,
       .may_change = true,
       .description =
           "Files: for `text`, `.jsonl` (one JSON object a line) or anything else (one document each); for `ids` one JSON list of "
           "rows of one length; for `chat` `.jsonl`, lines of `messages`, or of `question` and `answer`. Known to a run by content."},
      {.section = "data", .key = "text", .type = T::text, .fallback = "text", .description = "Key of a `.jsonl` line that holds its text."},
      {.section = "data",
       .key = "sequence",
       .type = T::integer,
       .fallback = 256,
       .minimum = 1,
       .maximum = sequence_max,
       .description = "Predictions per sequence of text; of `chat`, the most a conversation may have."},
      {.section = "data",
       .key = "too_long",
       .type = T::text,
       .choices = {"refuse", "cut", "skip"},
       .description = "Of `chat`: what becomes of a conversation of more predictions than `sequence`. `refuse` (the default), `cut` (its beginning is kept) or `skip`."},
      {.section = "data",
       .key = "batch",
       .type = T::integer,
       .fallback = 8,
       .minimum = 1,
       .maximum = 1 << 20,
       .description = "Sequences per step."},
      {.section = "data",
       .key = "micro_batch",
       .type = T::integer,
       .may_change = true,
       .minimum = 1,
       .maximum = 1 << 20,
       .description = "Sequences computed at once, a power of two or the whole batch (the default); changes memory, not the bits."},
      {.section = "data",
       .key = "validation",
       .type = T::real,
       .minimum = 0,
       .maximum = validation_max,
       .description =
           "Share at the end of each file (of `ids`: of the rows) that is kept for validation; by default 0.1 of text, nothing of "
           "`ids` and `chat`."},
      {.section = "data",
       .key = "task",
       .type = T::text,
       .description = "Of a `task`: its name (`godwit tasks list`), or a `.jsonl` file of problems."},
      {.section = "data",
       .key = "options",
       .type = T::table,
       .description = "Of a `task`: its options, `{ bits = 16, long = 0.2 }`; `long` is the share of documents that show the chain of "
                      "thought."},
      {.section = "data",
       .key = "validation_count",
       .type = T::integer,
       .minimum = 0,
       .maximum = 1 << 20,
       .description =
           "Of a `task`: documents for validation (default 256), from a stream that training never sees; of a file, at most what "
           "its option `held_out` says."},
      {.section = "data",
       .key = "parts",
       .type = T::tables,
       .may_change = true,
       .description = "Parts of a `mix`: tables with `kind`, `path`, or `task` and `options`, `weight` (default 1), and `text`, "
                      "`sequence`, `too_long`, `validation`, `validation_count` where they differ from those above. Known to a run by content."},
      {.section = "data",
       .key = "weight",
       .type = T::real,
       .minimum = 1e-9,
       .maximum = 1e9,
       .description = "Of a part: its share of the samples, relative to the other parts' (default 1)."},
      {.section = "data",
       .key = "digest",
       .type = T::text,
       .description = "Written by the run: SHA-256 of everything that determines the samples."},
  };
}

Result<DataSettings> read_settings(const Config& config) {
  if (!config.has("data", "kind")) return input_error("{} is missing and has no default", config.origin("data", "kind"));
  DataSettings settings;
  settings.place = config.origin("data", "kind");
  settings.kind = config.text("data", "kind");
  if (config.has("data", "path")) {
    for (const std::string& path : config.texts("data", "path")) settings.paths.emplace_back(path);
  }
  settings.text_key = config.text("data", "text");
  settings.sequence = config.integer("data", "sequence");
  if (config.has("data", "too_long")) settings.too_long = config.text("data", "too_long");
  const bool validation_given = config.has("data", "validation");
  settings.validation = validation_given ? config.real("data", "validation") : validation_by_default(settings.kind);
  if (config.has("data", "task")) settings.task = config.text("data", "task");
  settings.task_place = config.origin("data", "task");
  if (config.has("data", "options")) settings.options = config.value("data", "options");
  if (config.has("data", "validation_count")) settings.validation_count = config.integer("data", "validation_count");
  TRY(check_given(settings.kind, settings.place, [&](const char* key) { return config.given("data", key); }));
  const bool has_parts = config.has("data", "parts");
  if (has_parts != (settings.kind == mix)) {
    return has_parts ? input_error("{} is only for kind \"mix\", and kind is \"{}\"", config.origin("data", "parts"), settings.kind)
                     : input_error("{}: a mix needs parts: [[data.parts]] tables with kind and path, or kind and task", settings.place);
  }
  if (config.has("data", "weight")) return input_error("{} is for the parts of a mix", config.origin("data", "weight"));
  TRY(check(settings));
  if (!has_parts) return settings;
  const Json& parts = config.value("data", "parts");
  if (parts.empty()) return input_error("{}: a mix of no parts", config.origin("data", "parts"));
  std::vector<DataSettings> read;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", config.origin("data", "parts"), i);
    TRY_ASSIGN(DataSettings part, read_part(parts[i], settings, validation_given, place));
    read.push_back(std::move(part));
  }
  settings.parts = std::move(read);
  return settings;
}

Result<std::unique_ptr<Dataset>> open_dataset(const Config& config, const DatasetOptions& options) {
  TRY_ASSIGN(const DataSettings settings, read_settings(config));
  return open_dataset(settings, options);
}

}  // namespace godwit::data
