// From a config to what it describes: tokenizer, model, data. And the run directory's record of them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "base/config.h"
#include "data/dataset.h"
#include "model/family.h"
#include "store/model_source.h"
#include "store/run_directory.h"
#include "text/tokenizer.h"
#include "train/roll_out.h"
#include "train/settings.h"

namespace godwit::train {

struct Setup {
  Config config;
  Settings settings;
  std::optional<text::Tokenizer> tokenizer;
  std::unique_ptr<model::Model> model;
  std::optional<store::ModelSource> init;  // weights to start from; a fresh run with [model] init only
  std::unique_ptr<data::Dataset> dataset;
  std::shared_ptr<const RollOuts> roll_outs;  // with [rl]: the dataset gives prompts; null without
  bool resumed = false;                       // the directory held this run already
  std::int64_t steps_before = 0;              // `steps` as the directory had it, when resumed

  // Most predictions of a sample that programs compute.
  [[nodiscard]] std::int64_t predictions_max() const { return roll_outs ? roll_outs->predictions_max() : dataset->predictions_max(); }
  // Prefixes of the copies of the weights that the state carries.
  [[nodiscard]] std::vector<std::string> copies() const { return roll_outs ? roll_outs->copies() : std::vector<std::string>(); }
  // What programs are made by: where the model writes its samples, one prompt's group is a pass.
  [[nodiscard]] Settings program_settings() const;
};

// Reads config and directory, checks that they fit together, opens the data. Writes nothing but token shards. Every way in which a config
// differs from the run it meets is named.
[[nodiscard]] Result<Setup> make_setup(Config config, const store::RunDirectory& run, const std::function<void(double)>& tokenizing,
                                       const std::function<bool()>& interrupted, const OpenRollOuts& open_roll_outs = {});

// What the setup's data were opened with, and are repaired with.
[[nodiscard]] data::DatasetOptions dataset_options(const Setup& setup, const store::RunDirectory& run);

// The directory's record of a setup: sources.json, config.toml as resolved, model/, tokenizer/. Written before the first step and when
// `steps` changes.
[[nodiscard]] Result<void> write_record(const Setup& setup, const store::RunDirectory& run);

}  // namespace godwit::train
