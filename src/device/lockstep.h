// A device whose every op is held to its canonical reference while it runs: the reference computes from the inputs the op finds, and the
// outputs are compared by bits (NaN as a class). As slow as the references.
//
// The device must address host memory and be done with an op before the next one begins, as "cpu" does. One at a time in a process, one
// thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "device/device.h"

namespace godwit::device {

// Where a device and a reference part.
struct OpDifference {
  std::string program;
  std::int32_t index = 0;  // of the node
  std::string op;
  std::string tensor;
  std::string shape;
  std::int64_t element = 0;        // the first that differs
  std::int64_t elements = 0;       // how many do
  std::string expected, computed;  // as text: bits, and the number
};

class Lockstep {
 public:
  // `on_op` is called as each op begins; may be empty.
  [[nodiscard]] static Result<std::unique_ptr<Lockstep>> open(const DeviceOptions& options, std::function<void()> on_op = {});
  [[nodiscard]] static Result<std::unique_ptr<Lockstep>> open(const godwit_backend& behind, const DeviceOptions& options,
                                                              std::function<void()> on_op = {});
  ~Lockstep();
  Lockstep(const Lockstep&) = delete;
  Lockstep& operator=(const Lockstep&) = delete;

  [[nodiscard]] Device& device() { return *device_; }
  // The first since it was opened; nothing is compared behind it.
  [[nodiscard]] const std::optional<OpDifference>& difference() const;
  [[nodiscard]] std::int64_t compared() const;  // ops

 private:
  struct Comparison;
  static Comparison* current;  // the contract's functions carry no context of ours
  Lockstep() = default;
  std::unique_ptr<Comparison> comparison_;
  std::unique_ptr<Device> device_;
};

}  // namespace godwit::device
