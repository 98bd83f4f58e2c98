#include "store/run_directory.h"

#include "base/file.h"
#include "base/json.h"

namespace godwit::store {

Result<std::optional<Best>> read_best(const RunDirectory& run) {
  if (!fs::exists(run.best())) return std::optional<Best>();
  TRY_ASSIGN(const std::string text, read_file(run.best(), 1 << 16));
  TRY_ASSIGN(const Json json, parse_json(text, run.best().string()));
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_unsigned() || !json.contains("validation_loss") ||
      !json["validation_loss"].is_number()) {
    return input_error("{}: must hold step and validation_loss; remove the file to forget which checkpoint was best", run.best().string());
  }
  return std::optional(Best{json["step"].get<std::uint64_t>(), json["validation_loss"].get<double>()});
}

Result<void> write_best(const RunDirectory& run, const Best& best) {
  Json json;
  json["step"] = best.step;
  json["validation_loss"] = best.validation_loss;
  return write_file_durably(run.best(), write_json(json) + "\n");
}

}  // namespace godwit::store
