// A task makes problems whose answers can be verified: one file in tasks/ each, and nothing else to edit.
//
// src/data/tasks/NAME.cc defines `extern const Task NAME; const Task NAME{…}` in namespace godwit::data; the build collects the folder
// into all_tasks(). docs/tasks.md says how to add one.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"

namespace godwit::data {

// A problem is its texts and nothing else: what a verifier has to know it reads from the prompt.
struct Problem {
  std::string prompt;  // "0110=", without the <think> that a document has behind it
  std::string chain;   // "0110…", the worked-out way to the answer; empty where there is none
  std::string truth;   // a right answer; of several right ones any

  friend bool operator==(const Problem&, const Problem&) = default;
};

// No problem of a task is longer, part by part.
struct ProblemBytes {
  std::int64_t prompt = 0, chain = 0, truth = 0;
};

// Training and evaluation never see each other's streams. The values are part of the format.
enum class Split : std::uint8_t { training = 0, evaluation = 1 };

enum class OptionKind : std::uint8_t { integer, real, word };

struct TaskOption {
  std::string_view name;
  OptionKind kind = OptionKind::integer;
  double fallback = 0;  // of a word: its place among `words`
  double minimum = 0, maximum = 0;
  std::vector<std::string_view> words = {};  // what a word may be
  std::string_view meaning;                  // one sentence
};

// The values of a task's options: given ones checked, defaults laid in.
class TaskOptions {
 public:
  // `given` is an object of numbers and words; null is an empty one. Errors begin with `place` and name the option, the value and what is
  // wanted, or the nearest known name.
  [[nodiscard]] static Result<TaskOptions> read(const Json& given, std::span<const TaskOption> known, std::string_view place);

  // Asking for an option that was not declared, or by another kind, is a bug.
  [[nodiscard]] std::int64_t integer(std::string_view name) const;
  [[nodiscard]] double real(std::string_view name) const;
  [[nodiscard]] std::string word(std::string_view name) const;
  // All of them, in the order of their declaration.
  [[nodiscard]] const Json& json() const { return values_; }

 private:
  [[nodiscard]] const Json& value(std::string_view name) const;
  Json values_ = Json::object();
};

struct Task {
  std::string_view name;
  std::string_view summary;              // one sentence
  std::vector<TaskOption> options = {};  // beside `long`, which every task has: task_options()
  bool has_chain = true;                 // its problems come with one
  // What options cannot say one by one; the error names both. May be null.
  Result<void> (*check)(const TaskOptions& options) = nullptr;
  // A pure function of its arguments: all that is random comes from `random`.
  Problem (*make)(const TaskOptions& options, RandomSequence& random) = nullptr;
  ProblemBytes (*longest)(const TaskOptions& options) = nullptr;
  // 1: `answer`, a trimmed text that anybody may have written, is right; 0: it is not; between them: it is partly.
  double (*score)(const Problem& problem, std::string_view answer) = nullptr;
};

[[nodiscard]] std::span<const Task* const> all_tasks();
// An unknown name is an input error with the nearest one.
[[nodiscard]] Result<const Task*> find_task(std::string_view name, std::string_view place);

// The share of documents in the long form. A task without chains has only the short form: its `long` is 0 and stays 0.
[[nodiscard]] TaskOption long_option(bool has_chain);
// A task's own options and `long`.
[[nodiscard]] std::vector<TaskOption> task_options(const Task& task);
[[nodiscard]] Result<TaskOptions> read_task_options(const Task& task, const Json& given, std::string_view place);

// Problem `index` (< 2^55) of a split, made alone: `make` on the numbers of (seed, Purpose::task, step = 2 · index + split).
[[nodiscard]] Problem make_problem(const Task& task, const TaskOptions& options, std::uint64_t seed, Split split, std::uint64_t index);

// Whether document `index` of a stream has the chain, where a share p of them is to have it: floor((index + 1) · p) > floor(index · p), in
// exact arithmetic on the value of the double. So any n documents in a row have floor(n · p) or ceil(n · p) long ones; drawn one by one
// they would have p · n only on average, and a small batch now and then none. 0 ≤ p ≤ 1.
[[nodiscard]] bool is_long(double p, std::uint64_t index);

}  // namespace godwit::data
