// The keeper's part of training: draws samples, joins proposals, judges them, applies the optimizer, takes the state's hashes. Trusted, and
// on the CPU.
#pragma once

#include <functional>
#include <optional>

#include "device/liar.h"
#include "train/area.h"
#include "train/optimizer.h"
#include "train/task.h"

namespace godwit::train {

class TrainingKeeper : public guard::KeeperTask {
 public:
  TrainingKeeper(const TrainingTask& task, int threads);

  [[nodiscard]] Result<void> prepare(const guard::Memory& memory, guard::Pulse& pulse) override;
  [[nodiscard]] Result<Loaded> load(std::size_t state, std::uint64_t before) override;
  [[nodiscard]] Result<std::string> check(std::size_t state) override;
  [[nodiscard]] Result<guard::Drawn> batch(std::size_t state, std::size_t area) override;
  [[nodiscard]] Result<guard::Asked> ask(std::size_t state, std::size_t area, std::span<const guard::Proposed> written) override;
  [[nodiscard]] Result<std::string> validation(std::int64_t first, std::int64_t count, std::size_t area) override;
  [[nodiscard]] Result<guard::Made> make(std::size_t from, std::size_t to, std::size_t area, std::span<const guard::Proposed> proposals,
                                         guard::How how) override;
  [[nodiscard]] std::vector<const device::Executable*> executables() const override { return optimizer_.executables(); }

 private:
  [[nodiscard]] std::span<std::byte> area(std::size_t index) const;
  // Draws samples; what they are read from is repaired once, if it must be. Says what was.
  [[nodiscard]] Result<std::string> draw(std::uint64_t step, const std::function<Result<void>()>& samples);
  [[nodiscard]] Result<NodeAt> join(std::span<const guard::Proposed> proposals);
  // Which proposals are not the bytes their workers made, or hold numbers that are not finite.
  // `bytes`: what so many samples take in a slot.
  [[nodiscard]] std::vector<int> changed_in_transit(std::span<const guard::Proposed> proposals,
                                                    const std::function<std::int64_t(std::int64_t samples)>& bytes) const;
  [[nodiscard]] std::byte* slot(const guard::Proposed& proposed) const {
    return memory_.slots[static_cast<std::size_t>(proposed.worker)][static_cast<std::size_t>(proposed.slot)];
  }
  [[nodiscard]] std::vector<int> not_finite(std::span<const guard::Proposed> proposals) const;
  // Joins the proposals, judges the sum and applies the optimizer, once. The keeper's device is one like others: what it finds in doubt of
  // its own is said in `own`, and then nothing else counts.
  struct Once {
    std::string own;
    std::string judged;   // what is doubtful about the sum's numbers
    std::string changed;  // block of the committed state that is not what it was
    Proposal proposal;
    Applied applied;
  };
  [[nodiscard]] Result<Once> make_once(std::size_t from, std::size_t to, std::int64_t predictions,
                                       const std::optional<RollOuts::Step>& rolled, std::span<const guard::Proposed> proposals,
                                       const std::function<void(guard::Phase)>& enter);
  // What the records of roll-outs say; nothing where there are none.
  [[nodiscard]] std::optional<RollOuts::Step> read_records(std::span<const guard::Proposed> proposals) const;
  [[nodiscard]] Result<std::string> own_doubts();
  // Whatever the optimizer does not write.
  void copy_untouched(const State& from, State& to) const;
  // The next state where a step changes no weight.
  void leave(const State& from, State& to);
  // Copies of the weights that the step begins with, where it makes any.
  void copy_weights(const State& from, State& to) const;
  // The hashes of one tensor of the state list: taken anew, or compared with those the state came with (a name if they differ).
  void hash_tensor(State& state, std::size_t index);
  [[nodiscard]] std::string check_tensor(const State& state, std::size_t index) const;
  // While the optimizer runs, tensor by tensor: what it is about to read is compared with its hashes, what it has just written is hashed,
  // both while they are in a cache.
  struct Pass {
    State* from = nullptr;
    State* to = nullptr;
    std::int32_t last = -1;  // op whose results are not hashed yet
    std::string changed;     // in `from`
    std::string own;         // what the device doubts of its own results
  };
  void pass_op(std::int32_t op);
  void carry_out(const std::vector<const guard::Fault*>& faults, State& state);

  const TrainingTask& task_;
  int threads_;
  guard::Memory memory_;
  guard::Pulse* pulse_ = nullptr;
  std::unique_ptr<device::Liar> liar_;  // where faults are ordered
  std::unique_ptr<device::Device> device_;
  std::vector<std::unique_ptr<State>> states_;
  std::vector<std::vector<device::Buffer>> slots_;  // by worker
  std::vector<device::Buffer> nodes_;               // to join in
  Joiner joiner_;
  Optimizer optimizer_;
  std::vector<std::size_t> untouched_;             // by the optimizer: places in the state list, without the run's own scalars
  std::vector<std::size_t> scalars_;               // those
  std::vector<std::vector<std::size_t>> written_;  // by op of the optimizer's program
  std::vector<std::size_t> first_hash_;            // by place in the state list
  Pass* pass_ = nullptr;
};

}  // namespace godwit::train
