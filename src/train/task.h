// Training as the guard runs it: the keeper's part and the worker's.
#pragma once

#include <memory>
#include <optional>

#include "guard/task.h"
#include "store/run_directory.h"
#include "train/programs.h"
#include "train/rolled_proposal.h"
#include "train/setup.h"
#include "train/state.h"

namespace godwit::train {

class TrainingTask : public guard::Task {
 public:
  // `setup` outlives the task; its micro_batch becomes the pass. `device`: how devices are opened; its instruction set is for those of its
  // backend, the keeper opens the CPU.
  TrainingTask(const Setup& setup, const store::RunDirectory& run, const device::DeviceOptions& device);

  [[nodiscard]] guard::Sizes sizes() const override;
  [[nodiscard]] const std::string& profile() const override;
  [[nodiscard]] store::StateList list(std::byte* state) const override { return layout_.list(state); }
  [[nodiscard]] std::vector<TensorDigest> digests(std::byte* state) const override {
    return digests_of(layout_.list(state), layout_.hashes(state));
  }
  [[nodiscard]] std::uint64_t step(std::byte* state) const override { return layout_.scalars(state).step; }
  [[nodiscard]] std::unique_ptr<guard::KeeperTask> keeper(int threads) override;
  [[nodiscard]] std::unique_ptr<guard::WorkerTask> worker(const guard::Place& place, int threads) override;

  [[nodiscard]] const Programs& programs() const { return programs_; }
  // A proposal of so many samples as it lies in a slot: a node, then the records of roll-outs.
  [[nodiscard]] std::int64_t proposal_bytes(std::int64_t samples) const { return programs_.node_bytes() + samples * record_bytes(); }
  [[nodiscard]] std::int64_t record_bytes() const { return record_stride(setup_.roll_outs.get()); }
  [[nodiscard]] const StateLayout& layout() const { return layout_; }
  [[nodiscard]] const Setup& setup() const { return setup_; }
  [[nodiscard]] const store::RunDirectory& run() const { return run_; }
  // With what a device of that place is opened.
  [[nodiscard]] device::DeviceOptions device(const guard::Place& place, int threads) const;

  // Devices of loaded backends compute only if they are qualified for the run's programs with so many workers (train/admission.h); nothing:
  // whatever there is may.
  void ask_for_qualification(int workers) { qualified_for_ = workers; }
  [[nodiscard]] std::optional<int> qualified_for() const { return qualified_for_; }

 private:
  const Setup& setup_;
  store::RunDirectory run_;
  device::DeviceOptions device_;
  std::optional<int> qualified_for_;
  Programs programs_;
  StateLayout layout_;
};

}  // namespace godwit::train
