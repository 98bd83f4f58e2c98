// Training as the guard runs it: the keeper's part and the worker's.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "guard/identity.h"
#include "guard/task.h"
#include "store/run_directory.h"
#include "train/programs.h"
#include "train/rolled_proposal.h"
#include "train/setup.h"
#include "train/state.h"

namespace godwit::train {

class TrainingTask : public guard::Task {
 public:
  // `setup` outlives the task; its micro_batch becomes the pass. `device`: what workers open; the keeper, and trusted workers, the CPU.
  TrainingTask(const Setup& setup, const store::RunDirectory& run, const device::DeviceOptions& device);

  [[nodiscard]] guard::Sizes sizes() const override;
  [[nodiscard]] const std::string& profile() const override;
  [[nodiscard]] store::StateList list(std::byte* state) const override { return layout_.list(state); }
  [[nodiscard]] std::vector<TensorDigest> digests(std::byte* state) const override {
    return digests_of(layout_.list(state), layout_.hashes(state));
  }
  [[nodiscard]] std::uint64_t step(std::byte* state) const override { return layout_.scalars(state).step; }
  [[nodiscard]] std::unique_ptr<guard::KeeperTask> keeper(int threads) override;
  [[nodiscard]] std::unique_ptr<guard::WorkerTask> worker(int number, int threads, bool trusted) override;
  [[nodiscard]] bool loads_driver(bool trusted) const override;

  [[nodiscard]] const Programs& programs() const { return programs_; }
  // A proposal of so many samples as it lies in a slot: a node, then the records of roll-outs.
  [[nodiscard]] std::int64_t proposal_bytes(std::int64_t samples) const { return programs_.node_bytes() + samples * record_bytes(); }
  [[nodiscard]] std::int64_t record_bytes() const { return record_stride(setup_.roll_outs.get()); }
  [[nodiscard]] const StateLayout& layout() const { return layout_; }
  [[nodiscard]] const Setup& setup() const { return setup_; }
  [[nodiscard]] const store::RunDirectory& run() const { return run_; }
  [[nodiscard]] const device::DeviceOptions& device() const { return device_; }
  // The same on the trusted CPU.
  [[nodiscard]] device::DeviceOptions trusted_device() const;
  // What its workers' device was when it was admitted (train/admission.h); a worker that opens another one refuses.
  void admit(guard::DeviceIdentity identity) { admitted_ = std::move(identity); }
  [[nodiscard]] const std::optional<guard::DeviceIdentity>& admitted() const { return admitted_; }

 private:
  const Setup& setup_;
  store::RunDirectory run_;
  device::DeviceOptions device_;
  std::optional<guard::DeviceIdentity> admitted_;
  Programs programs_;
  StateLayout layout_;
};

}  // namespace godwit::train
