// What a device holds of a state, as it gives it back: whether it is what the state is.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/digest.h"
#include "device/device.h"
#include "train/state.h"

namespace godwit::train {

class ReadBack {
 public:
  // States of one model in memory of the device; they outlive this.
  [[nodiscard]] Result<void> prepare(device::Device& device, const State& state);
  // The digest of the state by the device's own copy: every byte of it comes through the device's queue. `beat` is called now and then.
  [[nodiscard]] Result<Digest> digest(const State& state, int threads, const std::function<void()>& beat);
  // Before the next digest one bit of what is read is changed: a device that does not hold what it was given.
  void spoil_next(std::uint64_t seed) { spoil_ = seed; }

 private:
  // Where an entry of the state list lies: a tensor that begins where a device can read, and the entry's place in it.
  struct Piece {
    program::TensorId tensor;
    std::int64_t offset = 0;  // of the tensor in the state
    std::size_t skipped = 0;  // bytes of it before the entry
  };
  std::unique_ptr<device::Executable> pieces_;  // a program without ops
  std::vector<Piece> places_;                   // by entry
  std::optional<std::uint64_t> spoil_;
};

}  // namespace godwit::train
