// Faults on purpose in what devices store: orders of a story, carried out by a liar before the device.
#pragma once

#include <memory>

#include "device/device.h"
#include "device/liar.h"
#include "guard/pulse.h"

namespace godwit::train {

// Opens the device; behind a liar where faults are ordered.
[[nodiscard]] Result<std::unique_ptr<device::Device>> open_device(const device::DeviceOptions& options, const guard::Pulse& pulse,
                                                                  std::unique_ptr<device::Liar>& liar);
// Arms the liar if the fault is one of a device's results. `pulse` outlives what is armed.
void lie(const guard::Fault& fault, device::Liar* liar, guard::Pulse& pulse);

}  // namespace godwit::train
