// What a device is tried with: every distinct op of a run's programs as it stands there, and whole programs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "program/op_case.h"
#include "train/task.h"

namespace godwit::qualify {

struct Trial {
  std::string op;    // name; of a whole program its name
  std::string text;  // with shapes and dtypes, for people
  bool whole = false;
  program::Program program;
  std::vector<program::TensorId> results;  // what is compared
  std::vector<std::string> result_names;   // as the op calls them
  program::Cost cost;                      // of one run
  bool bf16 = false;                       // its products have bf16 operands
  std::int64_t uses = 0;                   // ops of the run's programs that this one stands for
  std::function<std::vector<program::Brought>(program::Values values, std::uint64_t seed)> bring;

  [[nodiscard]] std::int64_t result_bytes() const;  // each result aligned
  // Where a result lies among them.
  [[nodiscard]] std::int64_t offset(std::size_t result) const;
};

// The distinct ops of these programs: two that only names tell apart are one.
[[nodiscard]] std::vector<Trial> op_trials(const std::vector<program::Program>& programs);
// Training and evaluation as wholes, with fresh weights and random tokens: `values` changes nothing there. The task outlives them.
[[nodiscard]] std::vector<Trial> whole_trials(const train::TrainingTask& task);
// Large products (f32, bf16) and a large sum, in this order, by which the ceilings of a device with memory of its own are told.
[[nodiscard]] std::vector<Trial> yardsticks();

}  // namespace godwit::qualify
