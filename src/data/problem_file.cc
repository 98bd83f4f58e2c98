#include "data/problem_file.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "data/answers.h"
#include "data/lines.h"

namespace godwit::data {
namespace {

constexpr std::string_view truth_mark = "####";
constexpr std::string_view example = R"({"question": "…", "answer": "…"})";

// The text of a member; a number stands for its text.
Result<std::string> text_member(const Json& line, std::string_view key, std::string_view place) {
  const Json* found = line.find(key);
  if (found == nullptr) return input_error("{}: has no \"{}\"; a line is {}", place, key, example);
  if (!found->is_string() && !found->is_number()) {
    return input_error("{}: \"{}\" is {}, a text is wanted: {}", place, key, found->type_name(), example);
  }
  const std::string text = found->is_string() ? found->string() : write_json(*found);
  if (trimmed(text).empty()) return input_error("{}: \"{}\" is empty", place, key);
  return std::string(trimmed(text));
}

}  // namespace

Result<Problem> read_problem(const Json& line, std::string_view place) {
  if (!line.is_object()) return input_error("{}: is {}, an object is wanted: {}", place, line.type_name(), example);
  Problem problem;
  TRY_ASSIGN(problem.prompt, text_member(line, "question", place));
  TRY_ASSIGN(problem.truth, text_member(line, "answer", place));
  const std::size_t mark = problem.truth.rfind(truth_mark);
  if (mark == std::string::npos) return problem;
  const auto chain = without_annotations(trimmed(std::string_view(problem.truth).substr(0, mark)));
  if (!chain) return input_error("{}: \"answer\" has a << that no >> closes", place);
  problem.chain = *chain;
  problem.truth = std::string(trimmed(std::string_view(problem.truth).substr(mark + truth_mark.size())));
  if (problem.truth.empty()) return input_error("{}: nothing stands behind the {} of \"answer\"", place, truth_mark);
  return problem;
}

std::optional<std::string> without_annotations(std::string_view text) {
  std::string kept;
  for (;;) {
    const std::size_t begin = text.find("<<");
    kept += text.substr(0, begin);
    if (begin == std::string_view::npos) return kept;
    const std::size_t end = text.find(">>", begin);
    if (end == std::string_view::npos) return std::nullopt;
    text.remove_prefix(end + 2);
  }
}

Result<ProblemFile> read_problem_file(const std::filesystem::path& path) {
  TRY_ASSIGN(const std::string text, read_file(path));
  ProblemFile file{{path, text.size(), sha256(as_bytes(text))}, {}};
  TRY(each_line(path, text, [&](std::string_view line, const std::string& place, double) -> Result<void> {
    TRY_ASSIGN(const Json json, parse_json(line, place));
    TRY_ASSIGN(Problem problem, read_problem(json, place));
    file.problems.push_back(std::move(problem));
    return {};
  }));
  if (file.problems.empty()) return input_error("{}: there is no problem in it; a line is {}", path.string(), example);
  return file;
}

}  // namespace godwit::data
