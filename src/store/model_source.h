// MODEL as the command line understands it: a Hugging Face directory, a run directory (its newest good checkpoint), RUN@STEP or RUN@best.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "model/family.h"
#include "text/tokenizer.h"

namespace godwit::store {

// A model's weights, wherever they lie. All of it was checked when opened: every weight is there once, of the right shape; of a run, every
// byte against its digests.
class ModelSource {
 public:
  // Warnings (an MTP layer that only the config or only the files have, a checkpoint passed over because it is damaged) go to the log.
  // Errors name file, tensor, both shapes. A run that trains meanwhile is not disturbed.
  [[nodiscard]] static Result<ModelSource> open(const std::string& model);

  [[nodiscard]] const model::Model& model() const { return *model_; }
  // "f32" or "bf16": what config.json or the run states.
  [[nodiscard]] const std::string& dtype() const { return dtype_; }
  [[nodiscard]] const std::string& description() const { return description_; }
  // The values of model().parameters()[index] as f32, experts stacked. Thread-safe.
  [[nodiscard]] Result<void> read(std::size_t index, std::span<float> values) const;
  // The tokenizer, if the model has one.
  [[nodiscard]] Result<std::optional<text::Tokenizer>> tokenizer() const;
  [[nodiscard]] std::optional<std::filesystem::path> tokenizer_directory() const;
  // Of a Hugging Face directory: of its weights as stored; of a run: of the whole state.
  [[nodiscard]] Result<Digest> digest() const;
  // The run directory and step, where it is one.
  [[nodiscard]] const std::optional<std::pair<std::filesystem::path, std::uint64_t>>& run() const { return run_; }

 private:
  ModelSource() = default;
  struct Files;
  std::unique_ptr<model::Model> model_;
  std::shared_ptr<const Files> files_;
  std::string dtype_;
  std::string description_;
  std::optional<std::pair<std::filesystem::path, std::uint64_t>> run_;
};

struct ExportOptions {
  std::string dtype = "f32";  // "f32", "bf16", "f16"
  bool with_mtp = false;
  std::int64_t shard_bytes_max = std::int64_t{5} << 30;
};
// Writes a Hugging Face directory: config.json, generation_config.json, weights (single or sharded; e_score_correction_bias always F32),
// tokenizer files and chat template where the model has a tokenizer. Refuses a directory that exists and is not empty, an MTP layer the
// model does not have, and a value that the dtype can only hold as infinity. What other engines will not read is a warning in the log.
// Written aside (".NAME.PID.tmp" beside it) and renamed: after an error there is nothing.
[[nodiscard]] Result<void> export_huggingface(const ModelSource& source, const std::filesystem::path& directory,
                                              const ExportOptions& options);

}  // namespace godwit::store
