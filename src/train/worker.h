// The worker's part of training: the gradient of the samples it is told to take, on its device.
#pragma once

#include <map>

#include "device/liar.h"
#include "train/area.h"
#include "train/gradient.h"
#include "train/read_back.h"
#include "train/task.h"

namespace godwit::train {

class TrainingWorker : public guard::WorkerTask {
 public:
  TrainingWorker(const TrainingTask& task, const device::DeviceOptions& options);

  [[nodiscard]] Result<void> prepare(const guard::Memory& memory, int slots, guard::Pulse& pulse) override;
  [[nodiscard]] Result<guard::Answer> propose(const guard::Order& order, const std::function<bool()>& interrupted) override;
  [[nodiscard]] Result<Evaluated> evaluate(const guard::Order& order) override;
  [[nodiscard]] Result<Digest> read_back(const guard::Order& order) override;
  [[nodiscard]] std::string device_name() const override { return device_->name(); }
  [[nodiscard]] bool lost() const override { return device_->lost(); }
  [[nodiscard]] std::string coverage() const override;
  [[nodiscard]] std::optional<guard::DeviceIdentity> identity() const override { return identity_; }
  [[nodiscard]] std::vector<const device::Executable*> executables() const override;

 private:
  [[nodiscard]] Result<void> follow(const guard::Order& order);  // the state it is told to compute from
  void watch();
  [[nodiscard]] Result<Area> read(std::size_t area) const;
  void spoil(const std::vector<const guard::Fault*>& faults);
  void poison(std::span<std::byte> slot);
  void carry_out(const std::vector<const guard::Fault*>& faults, std::span<std::byte> slot);

  const TrainingTask& task_;
  device::DeviceOptions options_;
  guard::Memory memory_;
  guard::Pulse* pulse_ = nullptr;
  std::unique_ptr<device::Liar> liar_;  // where faults are ordered
  std::optional<guard::DeviceIdentity> identity_;
  std::unique_ptr<device::Device> device_;
  std::vector<std::unique_ptr<State>> states_;
  std::vector<device::Buffer> slots_;
  Proposer proposer_;
  std::optional<ReadBack> read_back_;  // where it was asked for
  std::unique_ptr<RollOut> roll_out_;  // where the model writes its own samples
  bool used_ = false;                  // a state has been followed
  const program::Program* running_ = nullptr;
  std::uint64_t step_ = 0;
  const guard::Fault* poison_ = nullptr;
  std::map<const guard::Fault*, double> spoiling_since_;
};

}  // namespace godwit::train
