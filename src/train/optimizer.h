// The keeper's part of a step: a gradient's norm, and the state that follows from it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "train/gradient.h"
#include "train/programs.h"
#include "train/state.h"

namespace godwit::train {

struct Applied {
  float gradient_norm = 0;
  float lr = 0;
};

class Optimizer {
 public:
  explicit Optimizer(const Programs& programs) : programs_(programs) {}

  // Prepares the programs; `states` (all of one model) outlive the optimizer.
  [[nodiscard]] Result<void> prepare(device::Device& device, std::span<State* const> states);

  // The global norm of the gradient, which is `mean` times what `node` holds; NaN or infinite if it must not be applied.
  [[nodiscard]] Result<float> norm(NodeAt node, float mean = 1);
  // AdamW and the router biases: the state `from` with the gradient whose norm was taken last becomes the state `to`, which may be `from`.
  // What has no gradient, and the scalars, are left as they are in `to`.
  [[nodiscard]] Result<Applied> apply(std::size_t from, std::size_t to, NodeAt node);

  [[nodiscard]] std::vector<const device::Executable*> executables() const { return {norm_.get(), update_.get()}; }

 private:
  // What the node is multiplied by: the mean, and clipping.
  [[nodiscard]] Result<float> scale();

  const Programs& programs_;
  std::vector<State*> states_;
  std::unique_ptr<device::Executable> norm_, update_;
  std::vector<program::TensorId> norm_summed_, update_summed_;
  struct Bound {
    program::TensorId from, to;
    std::int64_t offset;  // in a state
  };
  std::vector<Bound> bound_;
  float norm_value_ = 0;
  float mean_ = 1;
};

}  // namespace godwit::train
