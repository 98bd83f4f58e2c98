#include "device/standalone.h"

#include <algorithm>

namespace godwit::device {

using program::Role;
using program::TensorId;

Result<std::unique_ptr<Standalone>> Standalone::prepare(Device& device, program::Program program) {
  TRY_ASSIGN(Executable executable, device.prepare(std::move(program)));
  std::unique_ptr<Standalone> made(new Standalone(std::move(executable)));
  const auto& tensors = made->executable_.program().tensors;
  for (std::size_t t = 0; t < tensors.size(); ++t) {
    if (tensors[t].role == Role::temporary || tensors[t].role == Role::derived) continue;
    made->bytes_ += aligned(tensors[t].type.bytes());
    if (tensors[t].role != Role::state) continue;
    TRY_ASSIGN(Buffer buffer, device.allocate(aligned(std::max<std::int64_t>(tensors[t].type.bytes(), 1))));
    made->executable_.bind(static_cast<TensorId>(t), buffer);
    made->states_.push_back(std::move(buffer));
  }
  return made;
}

Result<void> Standalone::bring(std::span<const program::Brought> brought, bool state_changed) {
  for (const program::Brought& each : brought) TRY(executable_.write(each.tensor, std::span<const std::byte>(each.bytes)));
  return state_changed ? executable_.refresh() : Result<void>();
}

}  // namespace godwit::device
