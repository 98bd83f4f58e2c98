// A program by itself on a device: its state lies in buffers of its own, everything it is brought is written before it runs. For trying
// ops and programs out.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "device/device.h"
#include "program/op_case.h"

namespace godwit::device {

class Standalone {
 public:
  // Prepares the program; the device outlives it.
  [[nodiscard]] static Result<std::unique_ptr<Standalone>> prepare(Device& device, program::Program program);

  // What the program is brought, whole or in part; then, unless its state stays as it was, the refresh part runs.
  [[nodiscard]] Result<void> bring(std::span<const program::Brought> brought, bool state_changed = true);
  [[nodiscard]] Result<void> run() { return executable_.run(); }
  [[nodiscard]] Result<void> read(program::TensorId tensor, std::span<std::byte> bytes) { return executable_.read(tensor, bytes); }

  [[nodiscard]] Executable& executable() { return executable_; }
  // Of state, inputs, constants and outputs.
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  explicit Standalone(Executable executable) : executable_(std::move(executable)) {}
  std::vector<Buffer> states_;
  Executable executable_;
  std::int64_t bytes_ = 0;
};

}  // namespace godwit::device
