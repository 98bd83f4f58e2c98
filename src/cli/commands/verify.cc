// godwit verify: everything that can be checked of a model, checked from the bytes.
//
// Of a run: its journal's chain and that its steps follow each other, every checkpoint against its own digests and against the journal, the
// steps of metrics.jsonl, best.json against both, scores from outside against the journal, and that config, model and tokenizer can be
// read. Of RUN@STEP: that checkpoint. Of a Hugging Face directory: that every weight is there once, of the right shape, readable and
// finite, and that its tokenizer fits. What is wrong with a run *differs* (exit 3); a directory that is no model is wrong input (exit 2).
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/config.h"
#include "base/file.h"
#include "cli/command.h"
#include "cli/common.h"
#include "model/family.h"
#include "store/checkpoint.h"
#include "store/journal.h"
#include "store/model_source.h"
#include "store/run_directory.h"
#include "text/tokenizer.h"
#include "train/run.h"
#include "train/scores.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string model;
  bool json = false;
  bool quiet = false;
};

struct Finding {
  std::string what;  // "checkpoint 400"
  bool good = true;
  std::string detail;  // a digest, a count; what is wrong
};

Finding found(std::string what, const Result<std::string>& detail) {
  return {std::move(what), detail.ok(), detail.ok() ? *detail : detail.error().message};
}

bool there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// The digest the journal last committed for a step.
std::optional<Digest> committed(const store::Journal::Content& journal, std::uint64_t step) {
  for (auto entry = journal.entries.rbegin(); entry != journal.entries.rend(); ++entry) {
    if (entry->verdict == "rollback" && entry->step < step) return std::nullopt;
    if (entry->step == step) return entry->digest;
  }
  return std::nullopt;
}

std::uint64_t last_step(const store::Journal::Content& journal) {
  std::uint64_t last = 0;
  for (const store::JournalEntry& entry : journal.entries) last = std::max(last, entry.step);
  return last;
}

// The chain is whole. Do the steps follow each other? A run that rolled back makes some again, and none is left out.
Result<std::string> check_journal(const store::RunDirectory& run, const Result<store::Journal::Content>& journal) {
  if (!journal.ok()) return journal.error();
  const auto& entries = journal->entries;
  std::uint64_t next = 0, skipped = 0;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const store::JournalEntry& entry = entries[i];
    const std::string line = fmt::format("{}: line {}", (run.journal() / "journal.jsonl").string(), i + 1);
    if (i == 0 && entry.verdict != "start") return differs_error("{}: is '{}'; a journal begins with 'start'", line, entry.verdict);
    if (entry.step > next) return differs_error("{}: is of step {}, and no line before it of step {}", line, entry.step, next);
    next = std::max(next, entry.step + 1);
    skipped += entry.verdict == "skip" ? 1 : 0;
  }
  return fmt::format("{} lines, up to step {}{}{}", entries.size(), last_step(*journal),
                     skipped > 0 ? fmt::format(", {} of which leave their batch out", skipped) : "",
                     journal->torn ? "; and a torn line that a crash left; the next start cuts it off" : "");
}

// metrics.jsonl: a line for each step, in order, and what was evaluated.
struct MetricsContent {
  std::uint64_t first = 0, last = 0;  // steps; 0: none
  bool torn = false;
  std::map<std::uint64_t, double> validation_losses;
};

Result<MetricsContent> read_metrics(const store::RunDirectory& run) {
  MetricsContent content;
  if (!there(run.metrics())) return content;
  TRY_ASSIGN(const std::string text, read_file(run.metrics(), std::uint64_t{1} << 34));
  std::size_t number = 1;
  for (std::string_view rest = text; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      content.torn = true;
      break;
    }
    const std::string name = fmt::format("{}: line {}", run.metrics().string(), number);
    const auto json = parse_json(rest.substr(0, end), name);
    if (!json.ok()) return Error{ErrorKind::differs, json.error().message};
    if (!json->is_object() || !json->contains("step") || !(*json)["step"].is_number_unsigned())
      return differs_error("{}: has no step", name);
    const auto step = (*json)["step"].get<std::uint64_t>();
    if (content.first == 0) content.first = step;
    if (content.last != 0 && step != content.last + 1) return differs_error("{}: step {} follows step {}", name, step, content.last);
    content.last = step;
    if (json->contains("validation_loss") && (*json)["validation_loss"].is_number())
      content.validation_losses[step] = (*json)["validation_loss"].get<double>();
    rest.remove_prefix(end + 1);
  }
  return content;
}

Result<std::string> check_metrics(const Result<MetricsContent>& metrics, const Result<store::Journal::Content>& journal, bool running) {
  if (!metrics.ok()) return metrics.error();
  if (metrics->last == 0) return std::string("none yet");
  if (metrics->first != 1) return differs_error("its first line is of step {}, not of step 1", metrics->first);
  // Both files are written behind the run, each at its own pace.
  if (journal.ok() && !running && metrics->last > last_step(*journal))
    return differs_error("goes up to step {}, the journal up to step {}", metrics->last, last_step(*journal));
  return fmt::format("steps 1 to {}, {} evaluated{}", metrics->last, metrics->validation_losses.size(),
                     metrics->torn ? "; and a torn line that a crash left; the next start cuts it off" : "");
}

Result<std::string> check_config(const store::RunDirectory& run) {
  TRY_ASSIGN(const Config config, Config::load(run.config(), {}, train::all_config_keys(), train::open_config_sections()));
  return fmt::format("{} steps", config.integer("run", "steps"));
}

Result<std::string> check_model(const store::RunDirectory& run) {
  const std::string path = run.model_config().string();
  TRY_ASSIGN(const std::string text, read_file(path));
  TRY_ASSIGN(const Json json, parse_json(text, path));
  TRY_ASSIGN(const auto model, model::model_from_config(json, path));
  return fmt::format("{} parameters", model->parameter_count());
}

Result<std::string> check_tokenizer(const fs::path& directory) {
  TRY_ASSIGN(const text::Tokenizer tokenizer, text::Tokenizer::load(directory));
  return fmt::format("{} tokens", tokenizer.vocab_size());
}

Result<std::string> check_checkpoint(const store::RunDirectory& run, std::uint64_t step, const Result<store::Journal::Content>& journal,
                                     bool running) {
  TRY_ASSIGN(const store::CheckpointContent content, store::verify_checkpoint(run.checkpoints(), step));
  if (journal.ok()) {
    const auto digest = committed(*journal, step);
    if (!digest && running) return hex(content.info.digest) + ", newer than the journal was when it was read";
    if (!digest) return differs_error("its own digests hold, but the journal has no line for step {}", step);
    if (*digest != content.info.digest) {
      return differs_error("its own digests hold and give {}, but the journal committed {}", hex(content.info.digest), hex(*digest));
    }
  }
  return hex(content.info.digest);
}

Result<std::string> check_best(const store::RunDirectory& run, const std::vector<std::uint64_t>& steps,
                               const Result<MetricsContent>& metrics) {
  TRY_ASSIGN(const auto best, store::read_best(run));
  if (!best) return std::string("none yet");
  if (std::ranges::find(steps, best->step) == steps.end()) {
    return differs_error("names step {}, of which there is no checkpoint", best->step);
  }
  if (metrics.ok()) {
    const auto found = metrics->validation_losses.find(best->step);
    if (found != metrics->validation_losses.end() && found->second != best->validation_loss) {
      return differs_error("gives step {} the validation loss {}, metrics.jsonl {}", best->step, best->validation_loss, found->second);
    }
  }
  return fmt::format("step {}, validation loss {}", best->step, best->validation_loss);
}

// Scores from outside: each record as it was written, and those that committed steps were made with as the journal has them.
Result<std::string> check_rewards(const store::RunDirectory& run, const Result<store::Journal::Content>& journal) {
  std::map<std::uint64_t, train::NotedScores> noted;  // by committed step
  if (journal.ok()) {
    for (const store::JournalEntry& entry : journal->entries) {
      if (entry.verdict == "rollback") noted.erase(noted.upper_bound(entry.step), noted.end());
      if (const auto scores = train::noted_scores(entry.note)) noted[entry.step] = *scores;
    }
  }
  TRY_ASSIGN(const std::vector<std::uint64_t> steps, train::scored_steps(run.rewards()));
  std::map<std::uint64_t, Digest> records;
  for (const std::uint64_t step : steps) {
    TRY_ASSIGN(const auto scores, train::read_scores(run.rewards(), step));
    if (scores) records[step] = scores->digest;
  }
  for (const auto& [step, scores] : noted) {
    const std::string path = train::scores_path(run.rewards(), scores.step).string();
    const auto found = records.find(scores.step);
    if (found == records.end()) return differs_error("{} is missing: step {} was committed with it", path, step);
    if (found->second == scores.digest) continue;
    return differs_error("{} has SHA-256 {}, the journal committed step {} with {}", path, hex(found->second), step, hex(scores.digest));
  }
  return fmt::format("{} records, {} steps committed with them", records.size(), noted.size());
}

Result<std::vector<Finding>> verify_run(const store::RunDirectory& run) {
  std::vector<Finding> findings;
  findings.push_back(found("config.toml", check_config(run)));
  findings.push_back(found("model", check_model(run)));
  if (there(run.tokenizer())) findings.push_back(found("tokenizer", check_tokenizer(run.tokenizer())));

  // A run that goes on meanwhile posts a step to the journal before it speaks of it elsewhere.
  const auto metrics = read_metrics(run);
  const auto holder = LockFile::holder(run.lock());
  const bool running = holder.ok() && holder->has_value();
  const auto journal = store::Journal::read(run.journal());
  findings.push_back(found("journal", check_journal(run, journal)));
  findings.push_back(found("metrics", check_metrics(metrics, journal, running)));

  const auto rewards = check_rewards(run, journal);
  if (!rewards.ok() || there(run.rewards())) findings.push_back(found("rewards", rewards));

  TRY_ASSIGN(const auto steps, store::list_checkpoints(run.checkpoints()));
  for (const std::uint64_t step : steps) {
    const auto detail = check_checkpoint(run, step, journal, running);
    // A run that goes on meanwhile removes old checkpoints.
    if (!detail.ok() && !there(run.checkpoints() / std::to_string(step))) continue;
    findings.push_back(found(fmt::format("checkpoint {}", step), detail));
  }
  TRY_ASSIGN(const auto steps_now, store::list_checkpoints(run.checkpoints()));
  findings.push_back(found("best", check_best(run, steps_now, metrics)));
  return findings;
}

Result<std::string> check_weight(const store::ModelSource& source, std::size_t index, std::vector<float>& values) {
  const model::Parameter& parameter = source.model().parameters()[index];
  values.resize(static_cast<std::size_t>(parameter.shape.count()));
  TRY(source.read(index, values));
  const auto wrong = std::ranges::count_if(values, [](float value) { return !std::isfinite(value); });
  if (wrong > 0) return differs_error("{} of {} values are not finite numbers", wrong, values.size());
  return std::string();
}

// What ModelSource::open has not looked at: the values, and whether the tokenizer's ids are the model's.
Result<std::vector<Finding>> verify_source(const std::string& model) {
  TRY_ASSIGN(const store::ModelSource source, store::ModelSource::open(model));
  std::vector<Finding> findings;
  std::vector<float> values;
  for (std::size_t i = 0; i < source.model().parameters().size(); ++i) {
    const auto detail = check_weight(source, i, values);
    if (!detail.ok()) findings.push_back(found(source.model().parameters()[i].name, detail));
  }
  if (findings.empty()) {
    TRY_ASSIGN(const Digest digest, source.digest());
    findings.push_back({source.run() ? "state" : "weights", true, hex(digest)});
  }
  TRY_ASSIGN(const auto tokenizer, source.tokenizer());
  if (tokenizer) {
    const bool fits = tokenizer->vocab_size() <= source.model().vocab_size();
    findings.push_back(
        {"tokenizer", fits,
         fits ? fmt::format("{} tokens", tokenizer->vocab_size())
              : fmt::format("has ids up to {}, the model's vocab_size is {}", tokenizer->vocab_size() - 1, source.model().vocab_size())});
  }
  if (source.run()) {
    const auto& [directory, step] = *source.run();
    const store::RunDirectory run{directory};
    findings.push_back(found(fmt::format("checkpoint {}", step), check_checkpoint(run, step, store::Journal::read(run.journal()), false)));
  }
  return findings;
}

Result<int> run(const Options& options) {
  const store::RunDirectory directory{options.model};
  const bool is_run = there(directory.journal()) || there(directory.checkpoints());
  TRY_ASSIGN(const std::vector<Finding> findings, is_run ? verify_run(directory) : verify_source(options.model));
  const bool good = std::ranges::all_of(findings, &Finding::good);
  if (options.json) {
    Json list = Json::array();
    for (const Finding& finding : findings) {
      list.push_back({{"what", finding.what}, {"good", finding.good}, {"detail", finding.detail}});
    }
    TRY(print_json({{"good", good}, {"findings", std::move(list)}}));
  } else {
    for (const Finding& finding : findings) {
      TRY(print(
          fmt::format("{}  {}{}{}\n", finding.good ? "good" : "BAD ", finding.what, finding.detail.empty() ? "" : ": ", finding.detail)));
    }
  }
  return good ? exit_finished : exit_differs;
}

}  // namespace

extern const Command verify;
const Command verify{
    .name = "verify",
    .summary = "Check everything that can be checked of a model or a run; exit 3 if anything is wrong.",
    .declare = [](App app) -> CommandBody {
      auto options = std::make_shared<Options>();
      app.add_option("MODEL", options->model, "Hugging Face directory, run directory (all of it), RUN@STEP or RUN@best").required();
      app.add_flag("--json", options->json, "Print one JSON document");
      declare_quiet(app, options->quiet);
      return [options] { return run(*options); };
    },
};

}  // namespace godwit::cli
