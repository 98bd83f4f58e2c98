#include "train/metrics.h"

#include <algorithm>
#include <numeric>

#include "base/json.h"

namespace godwit::train {

double expert_load(const std::vector<std::int32_t>& counts) {
  const std::int64_t total = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
  if (total == 0) return 0;
  return static_cast<double>(*std::max_element(counts.begin(), counts.end())) * static_cast<double>(counts.size()) /
         static_cast<double>(total);
}

Result<Metrics> Metrics::open(const std::filesystem::path& path, std::uint64_t step) {
  std::uint64_t keep = 0;
  if (fs::exists(path)) {
    TRY_ASSIGN(const std::string text, read_file(path, std::uint64_t{1} << 34));
    std::size_t begin = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
      const auto json = parse_json(std::string_view(text).substr(begin, end - begin), path.string());
      if (!json.ok() || !json->is_object() || !json->contains("step") || !(*json)["step"].is_number_unsigned()) break;
      if ((*json)["step"].get<std::uint64_t>() > step) break;
      keep = end + 1;
    }
  }
  TRY_ASSIGN(AppendFile file, AppendFile::open(path));
  if (file.size() != keep) TRY(file.truncate(keep));
  return Metrics(std::move(file));
}

Result<void> Metrics::append(std::uint64_t step, const Proposal& proposal, const Applied& applied, double tokens_per_s,
                             std::optional<double> validation_loss) {
  Json json;
  json["step"] = step;
  json["loss"] = proposal.loss;
  if (validation_loss) json["validation_loss"] = *validation_loss;
  json["lr"] = applied.lr;
  json["grad_norm"] = applied.gradient_norm;
  json["tokens"] = proposal.predictions;
  json["tokens_per_s"] = tokens_per_s;
  if (proposal.mtp_loss != 0) json["mtp_loss"] = proposal.mtp_loss;
  if (proposal.balance_loss != 0) json["balance_loss"] = proposal.balance_loss;
  if (!proposal.expert_counts.empty()) {
    Json load = Json::array();
    for (const auto& counts : proposal.expert_counts) load.push_back(expert_load(counts));
    json["expert_load"] = load;
  }
  return file_.append(write_json(json) + "\n");
}

}  // namespace godwit::train
