#include "train/metrics.h"

#include <algorithm>
#include <numeric>

#include "base/check.h"

namespace godwit::train {

double expert_load(const std::vector<std::int32_t>& counts) {
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (total == 0) return 0;
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) * static_cast<double>(counts.size()) /
         static_cast<double>(total);
}

Speed speed_of(double tokens, double seconds, double writing_s) {
  Speed speed{.all = tokens / seconds};
  if (writing_s <= 0 || writing_s >= seconds) return speed;
  speed.roll_out = tokens / writing_s;
  speed.update = tokens / (seconds - writing_s);
  return speed;
}

Result<StepLines> open_step_lines(const std::filesystem::path& path, std::uint64_t step) {
  std::uint64_t keep = 0;
  Json last;
  std::string last_line;
  if (fs::exists(path)) {
    TRY_ASSIGN(const std::string text, read_file(path, std::uint64_t{1} << 34));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
      auto json = parse_json(std::string_view(text).substr(begin, end - begin), path.string());
      if (!json.ok() || !json->is_object() || !json->contains("step") || !(*json)["step"].is_number_unsigned()) break;
      if ((*json)["step"].get<std::uint64_t>() > step) break;
      keep = end + 1;
      last = std::move(json).value();
      last_line = text.substr(begin, keep - begin);
    }
  }
  TRY_ASSIGN(AppendFile file, AppendFile::open(path));
  if (file.size() != keep) TRY(file.truncate(keep));
  return StepLines{std::move(file), std::move(last_line), std::move(last)};
}

Result<Metrics> Metrics::open(const std::filesystem::path& path, std::uint64_t step) {
  TRY_ASSIGN(StepLines lines, open_step_lines(path, step));
  return Metrics(std::move(lines.file), lines.last_line, std::move(lines.last));
}

void Metrics::append(std::uint64_t step, const Json& facts, const Speed& speed) {
  Json json;
  json["step"] = step;
  for (const auto& fact : facts.items()) {
    json[fact.key] = fact.value;
    if (fact.key != "tokens") continue;
    json["tokens_per_s"] = speed.all;
    if (speed.roll_out) json["roll_out_tokens_per_s"] = *speed.roll_out;
    if (speed.update) json["update_tokens_per_s"] = *speed.update;
  }
  last_ = std::move(json);
  file_->post(write_json(last_) + "\n");
}

void Metrics::add_validation_loss(double loss) {
  CHECK(last_.is_object() && !last_.contains("validation_loss"), "the last line of metrics is {}", write_json(last_));
  last_["validation_loss"] = loss;
  file_->replace_last(write_json(last_) + "\n");
}

std::optional<std::uint64_t> Metrics::step() const {
  if (!last_.is_object()) return std::nullopt;
  return last_["step"].get<std::uint64_t>();
}

std::optional<double> Metrics::validation_loss() const {
  if (!last_.is_object() || !last_.contains("validation_loss") || !last_["validation_loss"].is_number()) return std::nullopt;
  return last_["validation_loss"].get<double>();
}

}  // namespace godwit::train
