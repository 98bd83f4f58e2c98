// One training step on one device: propose a gradient from committed state, judge it, apply it.
//
// The gradient of a step is a tree over its samples (docs/arithmetic.md, 1.10–1.11): micro-batches are aligned subtrees, and finished nodes
// wait in a binary counter, so the micro-batch size does not reach the bits.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "device/device.h"
#include "model/model.h"
#include "train/settings.h"
#include "train/state.h"

namespace godwit::train {

// What a step's gradient came with.
struct Proposal {
  float loss = 0;          // mean over labelled predictions
  float mtp_loss = 0;      // the same for the MTP layer, before its weight
  float balance_loss = 0;  // weighted, as it enters the total
  std::int64_t predictions = 0;
  std::vector<std::vector<std::int32_t>> expert_counts;  // by MoE layer
};

struct Applied {
  float gradient_norm = 0;
  float lr = 0;
};

// Sizes of a run, known before anything is allocated.
struct Figures {
  double flops_per_step = 0;
  double bytes_per_step = 0;
  std::int64_t arena_bytes = 0;       // activations and work space of the largest program
  std::int64_t persistent_bytes = 0;  // derived tensors
  std::int64_t state_bytes = 0;
  std::int64_t gradient_bytes = 0;  // all nodes of the binary counter
  std::int64_t bound_bytes = 0;     // inputs, constants, outputs
  std::int64_t backend_bytes = 0;   // what the backend holds beside them: packed weights, scratch; known once programs are prepared
  [[nodiscard]] std::int64_t total() const {
    return arena_bytes + persistent_bytes + state_bytes + gradient_bytes + bound_bytes + backend_bytes;
  }
};

class Engine {
 public:
  // Programs are made and planned here; nothing large is allocated before prepare().
  Engine(const model::Model& model, const Settings& settings, std::int64_t predictions_max, bool evaluates);
  [[nodiscard]] Figures figures() const;
  // A line per program: ops, FLOPs, peak memory.
  [[nodiscard]] std::string describe() const;
  // The prepared programs, for whoever reads their ops' times.
  [[nodiscard]] std::vector<const device::Executable*> executables() const;

  // Allocates everything and prepares the programs on `device`; `state` must outlive the engine.
  [[nodiscard]] Result<void> prepare(device::Device& device, State& state);
  // State was changed from outside (loaded, initialised).
  [[nodiscard]] Result<void> state_changed();

  // Computes the gradient of a step's samples. `interrupted` is asked between passes; true gives the step up with ErrorKind::stopped.
  [[nodiscard]] Result<Proposal> propose(std::span<const data::Sample> samples, const std::function<bool()>& interrupted);
  // Norm and clip of the proposed gradient; NaN or infinite if it must not be applied.
  [[nodiscard]] Result<float> gradient_norm();
  // The proposed gradient of a parameter, for tests and probes.
  [[nodiscard]] Result<std::vector<float>> read_gradient(const std::string& parameter) const;
  // Applies the proposed gradient to the state (weights, moments, router biases). Does not touch the scalars.
  [[nodiscard]] Result<Applied> apply();

  struct Evaluation {
    double loss = 0;  // mean negative log-probability, nats per token
    std::int64_t predictions = 0;
  };
  [[nodiscard]] Result<Evaluation> evaluate(const data::Dataset& dataset, const std::function<bool()>& interrupted);

 private:
  struct Node {
    device::Buffer buffer;
    std::uint64_t samples_log2 = 0;
    bool used = false;
  };
  [[nodiscard]] Result<void> fill(device::Executable& executable, std::span<const data::Sample> samples, float weight, float mtp_weight,
                                  float balance_weight);
  [[nodiscard]] Result<void> join(Node& earlier, const Node& later);

  const model::Model& model_;
  Settings settings_;
  std::int64_t rows_;  // of one pass
  bool mtp_ = false;
  bool balance_ = false;
  program::Program training_program_, evaluation_program_, join_program_, norm_program_, update_program_;
  std::vector<std::pair<std::string, std::int64_t>> gradient_layout_;  // output names of a pass that are summed over samples, with offsets
  std::int64_t node_bytes_ = 0;

  State* state_ = nullptr;
  std::int64_t backend_bytes_ = 0;
  bool evaluation_fresh_ = false;  // the evaluation program has seen the state as it is
  std::unique_ptr<device::Executable> training_, evaluation_, join_, norm_, update_;
  std::vector<Node> nodes_;
  std::size_t root_ = 0;  // the node that holds the step's gradient
  float norm_value_ = 0;
};

}  // namespace godwit::train
