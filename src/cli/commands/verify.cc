// godwit verify: everything that can be checked of a model, checked from the bytes.
//
// Of a run: its journal's chain, every checkpoint against its own digests and against the journal, and that config, model and tokenizer can
// be read. Of RUN@STEP: that checkpoint. Of a Hugging Face directory: that every weight is there once, of the right shape, readable and
// finite, and that its tokenizer fits. What is wrong with a run *differs* (exit 3); a directory that is no model is wrong input (exit 2).
#include <algorithm>
#include <cmath>
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
    if (entry->step == step) return entry->digest;
  }
  return std::nullopt;
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

Result<std::string> check_checkpoint(const store::RunDirectory& run, std::uint64_t step, const Result<store::Journal::Content>& journal) {
  TRY_ASSIGN(const store::CheckpointContent content, store::verify_checkpoint(run.checkpoints(), step));
  if (journal.ok()) {
    const auto digest = committed(*journal, step);
    if (!digest) return differs_error("its own digests hold, but the journal has no line for step {}", step);
    if (*digest != content.info.digest) {
      return differs_error("its own digests hold and give {}, but the journal committed {}", hex(content.info.digest), hex(*digest));
    }
  }
  return hex(content.info.digest);
}

Result<std::string> check_best(const store::RunDirectory& run, const std::vector<std::uint64_t>& steps) {
  TRY_ASSIGN(const auto best, store::read_best(run));
  if (!best) return std::string("none yet");
  if (std::ranges::find(steps, best->step) == steps.end()) {
    return differs_error("names step {}, of which there is no checkpoint", best->step);
  }
  return fmt::format("step {}, validation loss {}", best->step, best->validation_loss);
}

Result<std::vector<Finding>> verify_run(const store::RunDirectory& run) {
  std::vector<Finding> findings;
  findings.push_back(found("config.toml", check_config(run)));
  findings.push_back(found("model", check_model(run)));
  if (there(run.tokenizer())) findings.push_back(found("tokenizer", check_tokenizer(run.tokenizer())));

  const auto journal = store::Journal::read(run.journal());
  if (journal.ok()) {
    findings.push_back({"journal", true,
                        fmt::format("{} lines{}", journal->entries.size(),
                                    journal->torn ? ", and a torn one that a crash left; the next start cuts it off" : "")});
  } else {
    findings.push_back({"journal", false, journal.error().message});
  }

  TRY_ASSIGN(const auto steps, store::list_checkpoints(run.checkpoints()));
  for (const std::uint64_t step : steps) {
    const auto detail = check_checkpoint(run, step, journal);
    // A run that goes on meanwhile removes old checkpoints.
    if (!detail.ok() && !there(run.checkpoints() / std::to_string(step))) continue;
    findings.push_back(found(fmt::format("checkpoint {}", step), detail));
  }
  TRY_ASSIGN(const auto steps_now, store::list_checkpoints(run.checkpoints()));
  findings.push_back(found("best", check_best(run, steps_now)));
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
    findings.push_back(found(fmt::format("checkpoint {}", step), check_checkpoint(run, step, store::Journal::read(run.journal()))));
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
