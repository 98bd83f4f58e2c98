// One op of a prepared program, ready to run.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "kernel.h"

namespace godwit::cpu {

// Type and shape, without data.
[[nodiscard]] View view_of(const godwit_tensor& tensor);

struct Step {
  const Kernel* kernel = nullptr;
  std::vector<std::int32_t> tensors;  // inputs, then outputs
  std::vector<View> views;            // the same; data is filled in at each run
  std::size_t input_count = 0;
  std::vector<godwit_attribute> attributes;
  bool weight_packed = false;         // its weight comes in the kernel's own layout:
  const std::byte* packed = nullptr;  // here, once that was made
  bool weight_blocks = false;         // as blocks of 8 bits
  bool verify = false;                // its device checks results
  std::vector<bool> last_use;         // of the inputs: made in the same program, and read here for the last time
  std::vector<bool> for_host;         // of the outputs: no temporary
  bool unneeded = false;              // whoever reads its output reads a packed layout made without it
  std::int64_t runs = 0;              // counted where the device was opened with profile = 1
  std::int64_t nanoseconds = 0;

  [[nodiscard]] Call call(Pool& pool, std::byte* workspace) const;
};

// `names` holds the names of attributes, which steps point to.
[[nodiscard]] Step step_of(const godwit_program& program, const godwit_op& op, const Kernel* kernel, std::deque<std::string>& names);

}  // namespace godwit::cpu
