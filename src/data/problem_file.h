// A file of problems of one's own; problems.h says what it looks like.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "data/dataset.h"
#include "data/task.h"

namespace godwit::data {

struct ProblemFile {
  DataFile file;
  std::vector<Problem> problems;
};

// A broken line is an input error by file and line, and so is a file without any problem.
[[nodiscard]] Result<ProblemFile> read_problem_file(const std::filesystem::path& path);

// One line's problem; `place` opens errors.
[[nodiscard]] Result<Problem> read_problem(const Json& line, std::string_view place);

// Without its calculator annotations: "48/2 = <<48/2=24>>24" → "48/2 = 24". Nothing where one is not closed.
[[nodiscard]] std::optional<std::string> without_annotations(std::string_view text);

}  // namespace godwit::data
