#include "train/lies.h"

#include "device/backends.h"
#include "device/lies.h"

namespace godwit::train {

Result<std::unique_ptr<device::Device>> open_device(const device::DeviceOptions& options, const guard::Pulse& pulse,
                                                    std::unique_ptr<device::Liar>& liar) {
  if (!pulse.faults()) return device::Device::open(options);
  TRY_ASSIGN(const godwit_backend* backend, device::find_completed_backend(options.backend));
  liar = std::make_unique<device::Liar>(*backend);
  device::DeviceOptions one_by_one = options;
  one_by_one.profile = true;  // a result is spoilt between its op and the next: one ends before the other begins
  return device::Device::open(liar->table(), one_by_one);
}

void lie(const guard::Fault& fault, device::Liar* liar, guard::Pulse& pulse) {
  const bool flips = fault.act == guard::Act::flip_tensor;
  if (liar == nullptr || (!flips && fault.act != guard::Act::drop_tensor)) return;
  const device::Target target{fault.op, fault.results, fault.seed};
  const auto told = [&fault, &pulse](const device::OpRun&, std::string_view what) { pulse.tell(fault, what); };
  liar->arm(flips ? device::flip_results(target, fault.bits, fault.bit, told) : device::drop_results(target, told));
}

}  // namespace godwit::train
