// What a process shows of its work while it works: a word in shared memory that it writes and the supervisor reads. No message, no thread
// of its own: a process that makes no progress cannot seem to.
#pragma once

#include <atomic>
#include <cstdint>

#include "guard/fault.h"

namespace godwit::guard {

// In shared memory, one for each process.
struct PulseCell {
  std::atomic<std::uint64_t> beats{0};     // grows with every op begun, every block written, every order taken and answered
  std::atomic<std::uint32_t> phase{0};     // Phase
  std::atomic<std::uint64_t> taken{0};     // number of the last order that was taken up,
  std::atomic<std::uint64_t> answered{0};  // and of the last whose answer was sent
  std::atomic<std::uint64_t> wanted{0};    // the supervisor's: orders below it are given up
  std::atomic<std::uint32_t> call{0};      // worker: the function of a loaded backend that it is in (device/backend_call.h)
};

// The process's own hand on its cell; also where its fault points are passed.
class Pulse {
 public:
  // One that nobody reads, for a process on its own.
  Pulse() = default;
  Pulse(PulseCell& cell, Role role, int worker, bool trusted, Faults& faults)
      : cell_(&cell), role_(role), worker_(worker), trusted_(trusted), faults_(&faults) {}

  // From here on its points are those of a worker that is to take another's seat, or of one that has one.
  void candidate(bool is) { candidate_ = is; }
  void beat() { cell_->beats.fetch_add(1, std::memory_order_relaxed); }
  // Enters a phase of a step: a beat, and a fault point. Faults handed back are for the caller to carry out.
  std::vector<const Fault*> enter(Phase phase, std::uint64_t step);
  // An op begins: the same, without a change of phase. Without a name: a beat.
  std::vector<const Fault*> op(std::string_view name);
  void tell(const Fault& fault, std::string_view what);

  [[nodiscard]] PulseCell& cell() { return *cell_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] bool faults() const { return faults_ != nullptr && faults_->any(); }

 private:
  [[nodiscard]] Point here(std::string_view op) const { return {role_, worker_, step_, phase_, op, trusted_, candidate_}; }

  PulseCell own_;
  PulseCell* cell_ = &own_;
  Role role_ = Role::worker;
  int worker_ = -1;
  bool trusted_ = false;
  bool candidate_ = false;
  Faults* faults_ = nullptr;
  Phase phase_ = Phase::starting;
  std::uint64_t step_ = 0;
};

}  // namespace godwit::guard
