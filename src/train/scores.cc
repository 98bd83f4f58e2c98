#include "train/scores.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "base/json.h"

namespace godwit::train {

namespace {

constexpr std::string_view note_begin = "rewards/", note_middle = ".json SHA-256 ";

std::optional<Scores> parse_scores(const Json& json) {
  const Json* step = json.find("step");
  const Json* completions = json.find("completions");
  const Json* scores = json.find("scores");
  if (step == nullptr || !step->is_number_unsigned() || completions == nullptr || !completions->is_array() || scores == nullptr ||
      !scores->is_array() || scores->size() != completions->size()) {
    return std::nullopt;
  }
  Scores read;
  read.step = step->get<std::uint64_t>();
  for (std::size_t i = 0; i < scores->size(); ++i) {
    const Json& digest = (*completions)[i];
    const Json& list = (*scores)[i];
    const auto parsed = digest.is_string() ? parse_digest(digest.string()) : Result<Digest>(input_error("no digest"));
    if (!parsed.ok() || !list.is_array()) return std::nullopt;
    ScoredGroup& group = read.groups.emplace_back();
    group.completions = *parsed;
    for (const Json& score : list) {
      if (!score.is_number()) return std::nullopt;
      group.scores.push_back(score.get<double>());
    }
  }
  return read;
}

}  // namespace

std::filesystem::path scores_path(const std::filesystem::path& directory, std::uint64_t step) {
  return directory / fmt::format("{}.json", step);
}

Result<void> write_scores(const std::filesystem::path& directory, std::uint64_t step, std::span<const ScoredGroup> groups) {
  Json json, completions = Json::array(), scores = Json::array();
  for (const ScoredGroup& group : groups) {
    completions.push_back(hex(group.completions));
    scores.push_back(Json(group.scores));
  }
  json["step"] = step;
  json["completions"] = std::move(completions);
  json["scores"] = std::move(scores);
  const std::string line = write_json(json);
  TRY(create_directories_durably(directory));
  return write_file_durably(scores_path(directory, step), line + "\n" + hex(sha256(as_bytes(line))) + "\n");
}

Result<std::optional<Scores>> read_scores(const std::filesystem::path& directory, std::uint64_t step) {
  const fs::path path = scores_path(directory, step);
  if (!fs::exists(path)) return std::optional<Scores>();
  TRY_ASSIGN(const std::string text, read_file(path));
  const std::size_t end = text.find('\n');
  const std::string line = text.substr(0, end);
  const std::string told = end == std::string::npos ? "" : text.substr(end + 1);
  const Digest digest = sha256(as_bytes(line));
  if (told != hex(digest) + "\n") {
    return differs_error("{} is not what was written: its first line has SHA-256 {}, its second says {}: put it back as it was",
                         path.string(), hex(digest), told.empty() ? "nothing" : told.substr(0, told.find('\n')));
  }
  const auto json = parse_json(line, path.string());
  std::optional<Scores> scores = json.ok() ? parse_scores(*json) : std::nullopt;
  if (!scores || scores->step != step) return differs_error("{} holds no scores of step {}: put it back as it was", path.string(), step);
  scores->digest = digest;
  return scores;
}

Result<std::vector<std::uint64_t>> scored_steps(const std::filesystem::path& directory) {
  std::vector<std::uint64_t> steps;
  if (!fs::exists(directory)) return steps;
  TRY_ASSIGN(const std::vector<std::string> names, list_directory(directory));
  for (const std::string& name : names) {
    std::uint64_t step = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
    if (error == std::errc() && std::string_view(end) == ".json") steps.push_back(step);
  }
  std::ranges::sort(steps);
  return steps;
}

Result<std::optional<Scores>> scores_for(const Setup& setup, const store::RunDirectory& run, std::uint64_t step) {
  if (!setup.roll_outs || !setup.roll_outs->asks()) return std::optional<Scores>();
  const std::uint64_t written = setup.roll_outs->written_at(step) + 1;
  TRY_ASSIGN(std::optional<Scores> scores, read_scores(run.rewards(), written));
  if (!scores) return scores;
  const std::string path = scores_path(run.rewards(), written).string();
  if (static_cast<std::int64_t>(scores->groups.size()) != setup.settings.run.batch) {
    return differs_error("{} has scores for {} prompts, a step has {}", path, scores->groups.size(), setup.settings.run.batch);
  }
  for (const ScoredGroup& group : scores->groups) {
    if (static_cast<std::int64_t>(group.scores.size()) == setup.roll_outs->group()) continue;
    return differs_error("{} has {} scores for a prompt, which has {} completions", path, group.scores.size(), setup.roll_outs->group());
  }
  return scores;
}

std::string scores_note(const Scores& scores) {
  return fmt::format("{}{}{}{}", note_begin, scores.step, note_middle, hex(scores.digest));
}

std::optional<NotedScores> noted_scores(std::string_view note) {
  if (!note.starts_with(note_begin)) return std::nullopt;
  note.remove_prefix(note_begin.size());
  NotedScores noted;
  const auto [end, error] = std::from_chars(note.data(), note.data() + note.size(), noted.step);
  if (error != std::errc()) return std::nullopt;
  note.remove_prefix(static_cast<std::size_t>(end - note.data()));
  if (!note.starts_with(note_middle)) return std::nullopt;
  const auto digest = parse_digest(note.substr(note_middle.size()));
  if (!digest.ok()) return std::nullopt;
  noted.digest = *digest;
  return noted;
}

}  // namespace godwit::train
