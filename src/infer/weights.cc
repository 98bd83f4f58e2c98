#include "infer/weights.h"

#include <utility>

#include "infer/memory.h"

namespace godwit::infer {

Result<Weights> Weights::load(device::Device& device, const model::Model& model, const ReadParameter& read, Loaded loaded) {
  Weights weights;
  const auto wanted = [&](const model::Parameter& p) { return loaded == Loaded::all || !p.mtp; };
  std::int64_t bytes = 0;
  for (const model::Parameter& p : model.parameters()) {
    if (!wanted(p)) continue;
    weights.offsets_.emplace(p.name, bytes);
    bytes += device::aligned(p.shape.count() * static_cast<std::int64_t>(sizeof(float)));
  }
  TRY(check_memory("the model's weights", bytes, "take a smaller model or a larger machine"));
  TRY_ASSIGN(weights.buffer_, device.allocate_shared(bytes));
  std::byte* host = weights.buffer_.host();
  for (std::size_t i = 0; i < model.parameters().size(); ++i) {
    const model::Parameter& p = model.parameters()[i];
    if (!wanted(p)) continue;
    auto* values = reinterpret_cast<float*>(host + weights.offsets_.at(p.name));
    TRY(read(i, std::span(values, static_cast<std::size_t>(p.shape.count()))));
  }
  return weights;
}

Weights Weights::over(const device::Buffer& buffer, std::unordered_map<std::string, std::int64_t> offsets) {
  Weights weights;
  weights.elsewhere_ = &buffer;
  weights.offsets_ = std::move(offsets);
  return weights;
}

void Weights::bind(device::Executable& executable) const {
  for (const auto& [name, offset] : offsets_) {
    const program::TensorId id = executable.program().find(name);
    if (id != program::TensorId::none) executable.bind(id, buffer(), offset);
  }
}

Result<device::Executable> prepare(device::Device& device, const model::Model& model, const Weights& weights, program::Program program,
                                   const std::function<void(device::Executable&)>& bind) {
  TRY_ASSIGN(device::Executable executable, device.prepare(std::move(program)));
  if (bind) bind(executable);
  weights.bind(executable);
  for (const model::Constant& constant : model.constants(executable.program())) {
    TRY(executable.write(executable.program().find(constant.name), std::span<const float>(constant.values)));
  }
  TRY(executable.refresh());
  return executable;
}

}  // namespace godwit::infer
