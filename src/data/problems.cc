#include "data/problems.h"

#include <algorithm>
#include <utility>

#include "data/answers.h"
#include "data/problem_file.h"

namespace godwit::data {
namespace {

class TaskProblems final : public Problems {
 public:
  TaskProblems(const Task& task, TaskOptions options, std::uint64_t seed) : task_(task), options_(std::move(options)), seed_(seed) {}

  std::string name() const override { return std::string(task_.name); }
  std::optional<std::uint64_t> count(Split) const override { return std::nullopt; }
  Problem problem(Split split, std::uint64_t index) const override { return make_problem(task_, options_, seed_, split, index); }
  double score(const Problem& problem, std::string_view answer) const override { return task_.score(problem, trimmed(answer)); }
  ProblemBytes longest() const override { return task_.longest(options_); }
  const TaskOptions& options() const override { return options_; }
  Digest digest() const override {
    Sha256 sha;
    sha.update(fmt::format("godwit task 1\n{}\n{}\n", task_.name, write_json(options_.json())));
    return sha.finish();
  }

 private:
  const Task& task_;
  TaskOptions options_;
  std::uint64_t seed_;
};

class FileProblems final : public Problems {
 public:
  FileProblems(ProblemFile file, TaskOptions options, Compare compare)
      : file_(std::move(file)),
        options_(std::move(options)),
        compare_(compare),
        held_out_(static_cast<std::uint64_t>(options_.integer("held_out"))) {
    for (const Problem& problem : file_.problems) {
      const auto longer = [](std::int64_t& bytes, const std::string& text) {
        bytes = std::max(bytes, static_cast<std::int64_t>(text.size()));
      };
      longer(longest_.prompt, problem.prompt);
      longer(longest_.chain, problem.chain);
      longer(longest_.truth, problem.truth);
    }
  }

  std::string name() const override { return file_.file.path.filename().string(); }
  std::optional<std::uint64_t> count(Split split) const override {
    if (held_out_ == 0) return file_.problems.size();
    return split == Split::evaluation ? held_out_ : file_.problems.size() - held_out_;
  }
  Problem problem(Split split, std::uint64_t index) const override {
    CHECK(index < *count(split), "problem {} of {} of {}", index, *count(split), file_.file.path.string());
    const bool behind = split == Split::evaluation && held_out_ > 0;
    return file_.problems[behind ? file_.problems.size() - held_out_ + index : index];
  }
  double score(const Problem& problem, std::string_view answer) const override {
    return same_answer(compare_, problem.truth, answer) ? 1.0 : 0.0;
  }
  ProblemBytes longest() const override { return longest_; }
  const TaskOptions& options() const override { return options_; }
  std::vector<DataFile> files() const override { return {file_.file}; }
  Digest digest() const override {
    Sha256 sha;
    sha.update(fmt::format("godwit problems 1\n{}\n", write_json(options_.json())));
    sha.update(file_.file.digest.bytes);
    return sha.finish();
  }

 private:
  ProblemFile file_;
  TaskOptions options_;
  Compare compare_;
  std::uint64_t held_out_;
  ProblemBytes longest_;
};

// In the order of Compare.
const std::vector<std::string_view> comparisons = {"automatic", "number", "text", "choice"};

Result<std::unique_ptr<Problems>> open_file(const ProblemSource& source) {
  TRY_ASSIGN(TaskOptions options, TaskOptions::read(source.options, file_options(), source.place));
  TRY_ASSIGN(ProblemFile file, read_problem_file(source.name));
  const auto held_out = static_cast<std::uint64_t>(options.integer("held_out"));
  if (held_out >= file.problems.size()) {
    return input_error("{}: option held_out = {} leaves none of the {} problems in {}; hold out fewer", source.place, held_out,
                       file.problems.size(), source.name);
  }
  const auto compare = std::ranges::find(comparisons, options.word("compare")) - comparisons.begin();
  return std::unique_ptr<Problems>(std::make_unique<FileProblems>(std::move(file), std::move(options), static_cast<Compare>(compare)));
}

}  // namespace

std::vector<TaskOption> file_options() {
  return {{.name = "compare",
           .kind = OptionKind::word,
           .words = comparisons,
           .meaning = "How an answer is held against the truth; automatic: as the truth looks."},
          {.name = "held_out", .minimum = 0, .maximum = 1e9, .meaning = "Problems at the end of the file that are for evaluation alone."},
          long_option(true)};
}

Result<std::unique_ptr<Problems>> open_problems(const ProblemSource& source) {
  if (std::filesystem::path(source.name).extension() == ".jsonl") return open_file(source);
  TRY_ASSIGN(const Task* task, find_task(source.name, source.place));
  TRY_ASSIGN(TaskOptions options, read_task_options(*task, source.options, source.place));
  return std::unique_ptr<Problems>(std::make_unique<TaskProblems>(*task, std::move(options), source.seed));
}

}  // namespace godwit::data
