// A backend that stands before another one and lies: on demand it changes what an op has stored, leaves results out, stalls or crashes at
// chosen ops. Made to see whether whoever guards a run notices.
//
// As long as nothing is armed, every call goes through as it is. While a lie is armed, a run executes op by op: beside the whole program
// there is a small one for each op (the same tensors at the same places), made at the first such run. Bits are the same either way;
// findings, progress and what is spoilt keep the op's number in the whole program. Times of ops (op_time) miss what ran op by op.
//
// One at a time in a process (the contract's functions carry no context); it outlives every device opened through it. Devices may be used
// by a thread each.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "godwit/backend.h"

namespace godwit::device {

// An op that is about to run, or has just run, with what it stores. For use inside a lie only.
class OpRun {
 public:
  virtual ~OpRun() = default;
  std::string_view program;
  const void* prepared = nullptr;  // tells programs of one name apart
  std::string_view op;
  std::int32_t index = 0;        // in the program
  std::int32_t to_come = 1;      // ops of this name in this run from here on, this one too
  std::int32_t all_to_come = 1;  // the same of whatever name
  std::int32_t streams = 1;      // runs under way on all devices, this one too; after the op
  double worked_s = 0;           // that runs have taken since the backend began to lie; after the op

  [[nodiscard]] virtual std::size_t inputs() const = 0;
  [[nodiscard]] virtual const godwit_tensor& input(std::size_t which) const = 0;
  [[nodiscard]] virtual std::size_t outputs() const = 0;
  [[nodiscard]] virtual const godwit_tensor& output(std::size_t which) const = 0;
  [[nodiscard]] virtual std::vector<std::byte> read(std::size_t which) = 0;
  virtual void write(std::size_t which, std::span<const std::byte> bytes) = 0;
};

// Called in the thread that runs a program, around each op of the main part. May take its time, and may not return.
struct Lie {
  std::function<void(OpRun&)> before = nullptr;
  std::function<void(OpRun&)> after = nullptr;
};

class Liar {
 public:
  explicit Liar(const godwit_backend& behind);
  ~Liar();
  Liar(const Liar&) = delete;
  Liar& operator=(const Liar&) = delete;

  [[nodiscard]] const godwit_backend& table() const;
  // From the next run on, in place of an earlier lie.
  void arm(Lie lie);
  void disarm();
};

}  // namespace godwit::device
