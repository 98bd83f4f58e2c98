// A model's weights on a device: one buffer, every parameter at a 512-byte border.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "device/device.h"
#include "model/model.h"
#include "store/model_source.h"

namespace godwit::infer {

// Fills `values` with model.parameters()[index], f32.
using ReadParameter = std::function<Result<void>(std::size_t index, std::span<float> values)>;

// Which parameters are loaded. Neither decoding nor scoring reads the MTP layer's; the serving engine guesses with it.
enum class Loaded : std::uint8_t { without_mtp, all };

// Movable; must not outlive its device, and must outlive the executables it is bound to.
class Weights {
 public:
  // Refuses a model that does not fit the memory before it reads anything.
  [[nodiscard]] static Result<Weights> load(device::Device& device, const model::Model& model, const ReadParameter& read,
                                            Loaded loaded = Loaded::without_mtp);
  [[nodiscard]] static Result<Weights> load(device::Device& device, const store::ModelSource& source, Loaded loaded = Loaded::without_mtp) {
    return load(
        device, source.model(), [&](std::size_t index, std::span<float> values) { return source.read(index, values); }, loaded);
  }

  // Weights that lie in somebody else's buffer, which outlives them: offsets by the parameter's name.
  [[nodiscard]] static Weights over(const device::Buffer& buffer, std::unordered_map<std::string, std::int64_t> offsets);

  [[nodiscard]] bool hold(const std::string& parameter) const { return offsets_.contains(parameter); }
  // Binds every parameter the executable's program names.
  void bind(device::Executable& executable) const;
  [[nodiscard]] std::int64_t bytes() const { return buffer().bytes(); }

 private:
  Weights() = default;
  [[nodiscard]] const device::Buffer& buffer() const { return elsewhere_ != nullptr ? *elsewhere_ : buffer_; }
  device::Buffer buffer_;
  const device::Buffer* elsewhere_ = nullptr;
  std::unordered_map<std::string, std::int64_t> offsets_;
};

// Prepares a program: weights bound, constants written, the refresh part run. What else is state must be bound through `bind`, which is
// called first.
[[nodiscard]] Result<device::Executable> prepare(device::Device& device, const model::Model& model, const Weights& weights,
                                                 program::Program program, const std::function<void(device::Executable&)>& bind = {});

}  // namespace godwit::infer
