#include "rl/command_scores.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/file.h"
#include "guard/command.h"
#include "rl/roll_outs.h"

namespace godwit::rl {

namespace {

// Beyond it a weighed sum of scores could leave what numbers hold.
constexpr double score_max = 1e6;
constexpr std::size_t line_bytes = 256, more_bytes = 65536;  // of output: as many for each line, and for all
constexpr std::size_t shown_bytes = 60;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

std::optional<double> number(std::string_view line) {
  double value = 0;
  const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value);
  if (error != std::errc() || end != line.data() + line.size() || !(std::fabs(value) <= score_max)) return std::nullopt;
  return value;
}

}  // namespace

Result<Json> command_line(const data::Problem& problem, const Completion& completion, std::span<const std::int32_t> ids, double score,
                          const text::Tokenizer& tokenizer) {
  if (completion.finished) ids = ids.first(ids.size() - 1);
  Json line = {{"prompt", problem.prompt}};
  TRY_ASSIGN(line["completion"], text_of(ids, tokenizer));
  TRY_ASSIGN(line["thinking"], text_of(ids.first(std::min(ids.size(), static_cast<std::size_t>(completion.thinking))), tokenizer));
  line["answer"] = completion.answer;
  line["well_formed"] = completion.well_formed();
  line["finished"] = completion.finished;
  line["truth"] = problem.truth;
  line["score"] = score;
  line["tokens"] = completion.tokens;
  return line;
}

CommandScores read_command_scores(std::string_view output, std::size_t count, const std::string& trouble) {
  CommandScores read;
  read.scores.assign(count, 0.0);
  std::vector<std::string_view> lines;
  while (!output.empty()) {
    const std::size_t end = output.find('\n');
    if (end == std::string_view::npos && !trouble.empty()) break;  // who knows how it would have gone on
    lines.push_back(trimmed(output.substr(0, end)));
    output.remove_prefix(end == std::string_view::npos ? output.size() : end + 1);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.size() > count) {
    read.warnings.push_back(fmt::format("it wrote {} lines for {} completions: whose they are is not known, and all count 0{}",
                                        lines.size(), count, trouble.empty() ? "" : "; it " + trouble));
    return read;
  }
  std::size_t bad = 0;
  std::string first_bad;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (const auto value = number(lines[i])) {
      read.scores[i] = *value;
    } else if (bad++ == 0) {
      first_bad = fmt::format("line {}, '{}'", i + 1, lines[i].substr(0, shown_bytes));
    }
  }
  if (bad > 0)
    read.warnings.push_back(fmt::format("{} of its {} lines are no numbers up to {:.0e}, the first is {}: they count 0", bad, lines.size(),
                                        score_max, first_bad));
  if (lines.size() < count || !trouble.empty()) {
    read.warnings.push_back(fmt::format("it {}{} of {} completions are not scored and count 0",
                                        trouble.empty() ? "wrote too few lines: " : trouble + ": ", count - lines.size(), count));
  }
  return read;
}

Result<CommandScores> ask_command(const train::RlSettings& settings, const std::vector<Json>& lines, const std::function<void()>& beat) {
  std::string input;
  for (const Json& line : lines) input += write_json(line) + "\n";
  guard::CommandLimits limits;
  limits.seconds = settings.command_timeout;
  limits.memory_bytes = settings.command_memory << 20;
  limits.output_bytes = lines.size() * line_bytes + more_bytes;
  TRY_ASSIGN(const guard::CommandOutcome outcome, guard::run_command(settings.command, input, limits, beat));
  CommandScores scores = read_command_scores(outcome.output, lines.size(), outcome.trouble);
  for (std::string& warning : scores.warnings)
    warning = fmt::format("the reward program '{}': {}", fmt::join(settings.command, " "), warning);
  scores.unconfined = outcome.unconfined;
  return scores;
}

Result<void> check_command(const std::vector<std::string>& command, std::string_view place) {
  if (command.empty() || command[0].empty()) return input_error("{}: the command is empty; name a program and its arguments", place);
  if (guard::find_executable(command[0]).empty()) {
    return input_error("{}: there is no executable '{}'{}; give its path, or make it executable", place, command[0],
                       command[0].find('/') == std::string::npos ? " on PATH" : "");
  }
  constexpr std::array scripts = {".py", ".sh", ".pl", ".rb", ".js"};
  for (std::size_t i = 1; i < command.size(); ++i) {
    const fs::path path = command[i];
    const bool script = !command[i].starts_with('-') && std::ranges::find(scripts, path.extension().string()) != scripts.end();
    if (script && !fs::exists(path))
      return input_error("{}: there is no file '{}' (from {})", place, command[i], fs::current_path().string());
  }
  return {};
}

}  // namespace godwit::rl
