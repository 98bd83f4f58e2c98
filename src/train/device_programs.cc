#include "train/device_programs.h"

#include <algorithm>

#include "base/digest.h"
#include "guard/crew.h"

namespace godwit::train {

std::vector<program::Program> device_programs(const TrainingTask& task, int workers) {
  const Programs& made = task.programs();
  std::vector<program::Program> all;
  for (const program::Program* each : {&made.training, &made.evaluation, &made.join, &made.norm, &made.update}) {
    if (!each->nodes.empty()) all.push_back(*each);
  }
  const Setup& setup = task.setup();
  if (setup.roll_outs) {
    for (program::Program& each : setup.roll_outs->programs(guard::part_samples(setup.settings.run.batch, workers))) {
      all.push_back(std::move(each));
    }
  }
  return all;
}

std::string programs_digest(const std::vector<program::Program>& programs) {
  Sha256 sha;
  for (const program::Program& program : programs) {
    sha.update(program.name + "\n");
    // Its own text says of each op what it makes; what is brought, and how it is kept, is said here.
    for (const program::Tensor& tensor : program.tensors) {
      if (tensor.role == program::Role::temporary || tensor.role == program::Role::derived) continue;
      sha.update(fmt::format("{} {} {}{}\n", tensor.name, static_cast<int>(tensor.role), program::dtype_name(tensor.type.dtype),
                             tensor.type.shape.text()));
    }
    sha.update(program.text());
  }
  return hex(sha.finish());
}

std::unique_ptr<TrainingTask> make_task(Setup& setup, const store::RunDirectory& run, const device::DeviceOptions& device, int workers) {
  std::int64_t& pass = setup.settings.run.micro_batch;
  pass = std::min(pass, guard::part_samples(setup.settings.run.batch, workers));
  device::DeviceOptions checked = device;
  checked.verify = setup.settings.run.verify != "off";
  return std::make_unique<TrainingTask>(setup, run, checked);
}

}  // namespace godwit::train
