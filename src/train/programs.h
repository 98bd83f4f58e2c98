// What a training step computes: its programs, made once from the model and the settings, before anything is allocated.
//
// The gradient of a step is a tree over its samples (docs/arithmetic.md, 1.10–1.11). A *node* is a finished subtree: every output of a pass
// that is a sum over samples (gradients, losses, expert counts), in one piece of memory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "device/device.h"
#include "model/model.h"
#include "train/batch.h"
#include "train/settings.h"

namespace godwit::train {

// What a step's gradient came with.
struct Proposal {
  float loss = 0;          // mean over labelled predictions
  float mtp_loss = 0;      // the same for the MTP layer, before its weight
  float balance_loss = 0;  // weighted, as it enters the total
  std::int64_t predictions = 0;
  std::vector<std::vector<std::int32_t>> expert_counts;  // by MoE layer
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

// What a labelled row counts in its loss, the same in every pass of a step.
struct LossWeights {
  float next = 0;
  float mtp = 0;
  float balance = 0;
};

class Programs {
 public:
  // Passes take settings.run.micro_batch samples of at most `predictions_max` predictions.
  Programs(const model::Model& model, const Settings& settings, std::int64_t predictions_max, bool evaluates);

  program::Program training, join, norm, update;
  program::Program evaluation;  // empty if the run does not evaluate

  struct Summed {
    std::string name;
    std::int64_t offset;  // in a node
  };
  [[nodiscard]] const std::vector<Summed>& summed() const { return summed_; }
  [[nodiscard]] std::int64_t node_bytes() const { return node_bytes_; }
  // Nodes that a tree over `samples` samples needs at once, the root among them.
  [[nodiscard]] std::size_t nodes_of(std::int64_t samples) const;

  [[nodiscard]] const model::Model& model() const { return model_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] std::int64_t micro_batch() const { return settings_.run.micro_batch; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }  // of a pass

  [[nodiscard]] LossWeights weights(const LabelCounts& counts, std::int64_t samples) const;
  // What a step's root node says.
  [[nodiscard]] Proposal read(const std::byte* node, std::int64_t predictions) const;

  [[nodiscard]] Figures figures() const;
  // A line per program: ops, FLOPs, peak memory.
  [[nodiscard]] std::string describe() const;

 private:
  const model::Model& model_;
  Settings settings_;
  std::int64_t rows_;
  std::vector<Summed> summed_;
  std::int64_t node_bytes_ = 0;
};

// Where the summed outputs are in a program, under a prefix; TensorId::none where it has them not.
[[nodiscard]] std::vector<program::TensorId> find_summed(const Programs& programs, const program::Program& program,
                                                         const std::string& prefix = "");

}  // namespace godwit::train
