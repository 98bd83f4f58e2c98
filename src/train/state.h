// The state of a training run in memory: what a committed step leaves, and nothing else.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"
#include "device/device.h"
#include "model/model.h"
#include "store/state.h"

namespace godwit::train {

// The scalars of the state list, named "run.<member>" there.
struct RunScalars {
  std::uint64_t step = 0;    // committed steps
  std::uint64_t tokens = 0;  // predictions trained on
};

// Owns weights and moments in one device buffer, 512-byte aligned, and the scalars beside it. The device must address host memory.
class State {
 public:
  [[nodiscard]] static Result<std::unique_ptr<State>> create(device::Device& device, const model::Model& model, std::size_t cursor_length);

  [[nodiscard]] const store::StateList& list() const { return list_; }
  RunScalars scalars;
  [[nodiscard]] const data::Cursor& cursor() const { return cursor_; }
  // Keeps the memory the list refers to; the length may not change.
  void set_cursor(const data::Cursor& cursor);

  // Offsets into buffer() by parameter; the moments of a parameter that has none are -1.
  struct Place {
    std::int64_t weight = -1, m = -1, v = -1;
  };
  [[nodiscard]] const device::Buffer& buffer() const { return buffer_; }
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }
  [[nodiscard]] std::span<float> weight(std::size_t parameter);

  // Bytes a state of this model takes, before one is made.
  [[nodiscard]] static std::int64_t bytes(const model::Model& model);

 private:
  State() = default;
  device::Buffer buffer_;
  std::vector<Place> places_;
  std::vector<std::int64_t> counts_;
  store::StateList list_;
  data::Cursor cursor_;
};

}  // namespace godwit::train
