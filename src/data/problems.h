// Problems with answers that can be verified, from a task or from a file of one's own, behind one interface.
//
// A file is .jsonl: one object a line with the texts "question" and "answer"; other members are passed over, and so are blank lines. An
// answer that has "####" is GSM8K's form: the truth stands behind the last one, and what stands before it is the chain, from which
// calculator annotations (<<48/2=24>>) are removed. Any other answer is the truth, and the problem has no chain.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/json.h"
#include "data/dataset.h"
#include "data/task.h"

namespace godwit::data {

// Immutable; every member may be called from many threads at once.
class Problems {
 public:
  virtual ~Problems() = default;

  // "parity", "my.jsonl".
  [[nodiscard]] virtual std::string name() const = 0;
  // How many problems a split has; nothing where there is no end of them (a task: up to 2^55).
  [[nodiscard]] virtual std::optional<std::uint64_t> count(Split split) const = 0;
  // index < count
  [[nodiscard]] virtual Problem problem(Split split, std::uint64_t index) const = 0;
  // From 0 (wrong) to 1 (right). `answer` is what stands behind the thinking, see answer_of in document.h.
  [[nodiscard]] virtual double score(const Problem& problem, std::string_view answer) const = 0;
  // Bytes of the longest problem; a bound for some tasks, exact for a file.
  [[nodiscard]] virtual ProblemBytes longest() const = 0;
  // Options with their defaults.
  [[nodiscard]] virtual const TaskOptions& options() const = 0;
  // Files it was read from, as they were.
  [[nodiscard]] virtual std::vector<DataFile> files() const { return {}; }
  // Of everything that determines problems and scores, but the seed. Not of paths.
  [[nodiscard]] virtual Digest digest() const = 0;

  // Whether document `index` is in the long form: it has a chain, and `long` says so.
  [[nodiscard]] bool is_long(const Problem& problem, std::uint64_t index) const {
    return !problem.chain.empty() && data::is_long(options().real("long"), index);
  }
};

// Of a file: `long`, as of tasks; `compare`, how an answer is held against the truth (answers.h), by default as the truth looks;
// `held_out`, how many problems at the end of the file are the evaluation split. Without them both splits are the whole file.
[[nodiscard]] std::vector<TaskOption> file_options();

struct ProblemSource {
  std::string name;                          // of a task, or the path of a .jsonl file
  Json options = Json::object();             // numbers and words
  std::uint64_t seed = 0;                    // of a task
  std::string place = "the problem source";  // opens errors about name and options: "run.toml:7: [data] task"
};

// Errors: no such task or file (with the nearest name), options (see TaskOptions::read), a broken line by file and line.
[[nodiscard]] Result<std::unique_ptr<Problems>> open_problems(const ProblemSource& source);

}  // namespace godwit::data
