// godwit tokenizer: train one, encode and decode with one.
#include <limits>

#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "cli/input_lines.h"
#include "cli/progress.h"
#include "text/tokenizer.h"
#include "text/trainer.h"

namespace godwit::cli {
namespace {

struct TrainOptions {
  std::vector<std::string> texts;
  std::int32_t vocab = 0;
  std::string out;
  bool quiet = false;
};

// Documents of a .jsonl are its lines' "text"; of any other file there is one. (As [data] reads them.)
Result<void> add_file(text::Trainer& trainer, const fs::path& path) {
  if (path.extension() != ".jsonl") return trainer.add_file(path);
  TRY_ASSIGN(const MappedFile file, MappedFile::open(path));
  file.read_ahead();
  const auto bytes = file.bytes();
  std::string_view rest(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}:{}", path.string(), number);
    TRY_ASSIGN(const Json json, parse_json(line, place));
    const Json* text = json.find("text");
    if (text == nullptr || !text->is_string()) return input_error("{}: is no object with a string \"text\"", place);
    TRY(trainer.add_text(text->string()));
  }
  return {};
}

Result<int> train(const TrainOptions& options) {
  const fs::path file = fs::path(options.out) / "tokenizer.json";
  std::error_code ignored;
  if (fs::exists(file, ignored)) return input_error("{} exists; name another directory, or remove it first", file.string());
  Progress progress(options.quiet);
  std::size_t read = 0;
  const auto show = [&](const text::TrainerProgress& at) {
    const double share = at.total > 0 ? static_cast<double>(at.done) / static_cast<double>(at.total) : 0;
    if (at.stage == text::TrainerProgress::Stage::reading) {
      progress.update(share, fmt::format("reading {}, file {} of {}", options.texts[read], read + 1, options.texts.size()));
    } else {
      progress.update(share, fmt::format("{} of {} tokens", at.done, at.total));
    }
  };
  TRY_ASSIGN(text::Trainer trainer, text::Trainer::create({.vocab_size = options.vocab}, show));
  for (; read < options.texts.size(); ++read) TRY(add_file(trainer, options.texts[read]));
  TRY_ASSIGN(const text::Tokenizer tokenizer, trainer.train());
  progress.finish();
  TRY(tokenizer.save(options.out));
  if (tokenizer.vocab_size() < options.vocab) {
    progress.line(
        fmt::format("the text has no more pairs that occur twice: {} tokens instead of {}", tokenizer.vocab_size(), options.vocab));
  }
  return exit_finished;
}

bool blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

Error line_error(const InputLines& lines, std::string_view what) {
  return input_error("standard input, line {}: {}", lines.number(), what);
}

// The member `key` of a line's object.
Result<Json> member(const InputLines& lines, const std::string& line, const char* key, std::string_view example) {
  TRY_ASSIGN(Json json, parse_json(line, fmt::format("standard input, line {}", lines.number())));
  if (!json.is_object() || !json.contains(key)) return line_error(lines, fmt::format("an object with \"{}\" is wanted: {}", key, example));
  return std::move(json[key]);
}

Result<int> encode(const std::string& directory) {
  TRY_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::load(directory));
  InputLines lines;
  for (;;) {
    TRY_ASSIGN(const std::optional<std::string> line, lines.next());
    if (!line) return exit_finished;
    if (blank(*line)) continue;
    constexpr std::string_view example = R"({"text": "…"})";
    TRY_ASSIGN(const Json text, member(lines, *line, "text", example));
    if (!text.is_string()) return line_error(lines, fmt::format("\"text\" is {}, a string is wanted: {}", text.type_name(), example));
    const auto ids = tokenizer.encode(text.string());
    if (!ids.ok()) return line_error(lines, ids.error().message);
    TRY(print_json({{"ids", *ids}}));
  }
}

Result<std::vector<std::int32_t>> read_ids(const InputLines& lines, const Json& json) {
  constexpr std::string_view wanted = "a list of token ids is wanted: {\"ids\": [5, 9, 2]}";
  if (!json.is_array()) return line_error(lines, fmt::format("\"ids\" is {}, {}", json.type_name(), wanted));
  std::vector<std::int32_t> ids;
  ids.reserve(json.size());
  for (const Json& item : json) {
    // Through the unsigned type only where it is one: a negative number is no id either way.
    const bool fits = item.is_number_unsigned() && item.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
    if (!fits) return line_error(lines, fmt::format("{} is no token id; {}", write_json(item), wanted));
    ids.push_back(item.get<std::int32_t>());
  }
  return ids;
}

Result<int> decode(const std::string& directory) {
  TRY_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::load(directory));
  InputLines lines;
  for (;;) {
    TRY_ASSIGN(const std::optional<std::string> line, lines.next());
    if (!line) return exit_finished;
    if (blank(*line)) continue;
    TRY_ASSIGN(const Json list, member(lines, *line, "ids", R"({"ids": [5, 9, 2]})"));
    TRY_ASSIGN(const std::vector<std::int32_t> ids, read_ids(lines, list));
    const auto text = tokenizer.decode(ids);
    if (!text.ok()) return line_error(lines, text.error().message);
    TRY(print_json({{"text", *text}}));
  }
}

}  // namespace

extern const Command tokenizer;
const Command tokenizer{
    .name = "tokenizer",
    .summary = "Train a tokenizer; encode and decode lines of JSON with one.",
    .declare = [](App app) -> CommandBody {
      app.require_subcommand();
      auto options = std::make_shared<TrainOptions>();
      auto directory = std::make_shared<std::string>();

      App trains = app.add_subcommand("train", "Train a byte-level BPE tokenizer with DeepSeek's special tokens and chat template.");
      trains.add_option("--text", options->texts, "Files of text, or .jsonl with a \"text\" a line").type_name("FILE").required();
      trains.add_option("--vocab", options->vocab, "Tokens in all").type_name("N").required();
      trains.add_option("--out", options->out, "Directory to write").type_name("DIR").required();
      declare_quiet(trains, options->quiet);

      App encodes = app.add_subcommand("encode", R"(Lines {"text": …} on standard input become lines {"ids": […]}.)");
      encodes.add_option("DIR", *directory, "Directory with a tokenizer.json").required();
      App decodes = app.add_subcommand("decode", R"(Lines {"ids": […]} on standard input become lines {"text": …}.)");
      decodes.add_option("DIR", *directory, "Directory with a tokenizer.json").required();

      return [options, directory, trains, encodes]() -> Result<int> {
        if (trains.parsed()) return train(*options);
        return encodes.parsed() ? encode(*directory) : decode(*directory);
      };
    },
};

}  // namespace godwit::cli
