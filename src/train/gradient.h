// The device's part of a step: the gradient of some of its samples, and the loss of samples kept for validation.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "device/device.h"
#include "train/programs.h"
#include "train/state.h"

namespace godwit::train {

// Where a node lies. The buffer is addressed by the host as well.
struct NodeAt {
  const device::Buffer* buffer = nullptr;
  std::int64_t offset = 0;
  [[nodiscard]] std::byte* host() const { return buffer->host() + offset; }
  friend bool operator==(const NodeAt&, const NodeAt&) = default;
};

// Binds a program's summed tensors (find_summed) to a node.
void bind_summed(const Programs& programs, device::Executable& executable, std::span<const program::TensorId> ids, NodeAt node);

// a + b for all a node holds.
class Joiner {
 public:
  explicit Joiner(const Programs& programs) : programs_(programs) {}
  [[nodiscard]] Result<void> prepare(device::Device& device);
  // `into` may be `earlier`.
  [[nodiscard]] Result<void> join(NodeAt earlier, NodeAt later, NodeAt into);
  [[nodiscard]] const device::Executable* executable() const { return join_.get(); }

 private:
  const Programs& programs_;
  std::unique_ptr<device::Executable> join_;
  std::vector<program::TensorId> earlier_, later_, sum_;
};

// Finished subtrees of a step as they come, in the order of their samples: a binary counter over equal leaves (the last may be smaller).
class TreeOfNodes {
 public:
  // `free`: nodes to join in, as many as the tree needs at once; they outlive the tree.
  TreeOfNodes(Joiner& joiner, std::vector<NodeAt> free) : joiner_(joiner), free_(std::move(free)) {}
  // A leaf that one of take()'s nodes holds, or memory that stays as it is until the root is read.
  [[nodiscard]] Result<void> add(NodeAt leaf);
  // A node to make the next leaf in.
  [[nodiscard]] NodeAt take();
  // Joins what is left. The root lies in the first node that was taken, or in the only leaf.
  [[nodiscard]] Result<NodeAt> root();

 private:
  struct Entry {
    NodeAt node;
    int level;
    bool own;  // from `free_`
  };
  [[nodiscard]] Result<void> join_last();
  Joiner& joiner_;
  std::vector<NodeAt> free_;
  std::vector<NodeAt> taken_;
  std::vector<Entry> stack_;
};

class Proposer {
 public:
  explicit Proposer(const Programs& programs) : programs_(programs), joiner_(programs) {}

  // Allocates everything and prepares the programs. `states` (all of one model) outlive the proposer. A node of this many samples at most.
  [[nodiscard]] Result<void> prepare(device::Device& device, std::span<State* const> states, std::int64_t samples_max);
  // From now on the gradient is of that state, which must hold still: makes what depends on weights alone. Again when it has changed.
  [[nodiscard]] Result<void> use(std::size_t state);

  // By sample, where labelled predictions do not all weigh alike: what each prediction weighs, and room for the log-probability of each
  // labelled one.
  struct Rows {
    std::span<const std::vector<float>> weights;
    std::span<std::vector<float>> logprobs;
  };
  // The node of `samples`, which are an aligned subtree of a step's, into `result`. `interrupted` is asked between passes; true gives it up
  // with ErrorKind::stopped.
  [[nodiscard]] Result<void> propose(std::span<const data::Sample> samples, const LossWeights& weights, NodeAt result,
                                     const std::function<bool()>& interrupted, const Rows& rows = {});
  // Sums of negative log-probabilities, one for each sample (at most a pass of them), in nats.
  [[nodiscard]] Result<std::vector<double>> evaluate(std::span<const data::Sample> samples);

  // Log-probabilities of labelled predictions, by sample: of the model, or of the copies of its weights with this prefix.
  [[nodiscard]] Result<std::vector<std::vector<float>>> logprobs(std::span<const data::Sample> samples, const std::string& prefix,
                                                                 const std::function<bool()>& interrupted);

  [[nodiscard]] std::vector<const device::Executable*> executables() const;
  // What doubtful results there were since the last call.
  [[nodiscard]] Result<device::Device::Evidence> evidence();
  // Which node of the training program is the first of its backward part.
  [[nodiscard]] std::int32_t backward_begins() const { return backward_begins_; }

 private:
  [[nodiscard]] Result<void> bind(device::Executable& executable, std::size_t state, const std::string& prefix = "");
  [[nodiscard]] Result<void> fill(device::Executable& executable, std::span<const data::Sample> samples, const LossWeights& weights,
                                  std::span<const std::vector<float>> row_weights = {});
  [[nodiscard]] Result<void> bind_evaluation(const std::string& prefix);
  [[nodiscard]] static Result<void> read_logprobs(device::Executable& executable, std::span<const data::Sample> samples,
                                                  std::span<std::vector<float>> logprobs);

  const Programs& programs_;
  device::Device* device_ = nullptr;
  Joiner joiner_;
  std::vector<State*> states_;
  std::size_t state_ = 0;
  bool evaluation_fresh_ = false;  // the evaluation program has seen the state as it is
  std::string evaluation_of_;      // the copies it is bound to
  std::unique_ptr<device::Executable> training_, evaluation_;
  std::vector<program::TensorId> summed_;
  std::vector<device::Buffer> nodes_;
  std::int32_t backward_begins_ = 0;
};

}  // namespace godwit::train
