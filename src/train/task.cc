#include "train/task.h"

#include "train/area.h"
#include "train/keeper.h"
#include "train/worker.h"

namespace godwit::train {

TrainingTask::TrainingTask(const Setup& setup, const store::RunDirectory& run, const device::DeviceOptions& device)
    : setup_(setup),
      run_(run),
      device_(device),
      programs_(
          *setup.model, setup.program_settings(), setup.predictions_max(),
          setup.roll_outs ? setup.roll_outs->ever_needs() : setup.dataset->validation_count() > 0 && setup.settings.run.evaluate_every > 0),
      layout_(*setup.model, setup.dataset->begin().values.size(), setup.copies()) {}

const std::string& TrainingTask::profile() const {
  static const std::string name = "exact/1";
  return name;
}

guard::Sizes TrainingTask::sizes() const {
  guard::Sizes sizes;
  const std::int64_t batch = setup_.settings.run.batch;
  sizes.state_bytes = layout_.bytes();
  const RollOuts* roll_outs = setup_.roll_outs.get();
  const bool asks = roll_outs != nullptr && roll_outs->asks();
  sizes.slot_bytes = std::max(proposal_bytes(batch), asks ? train::question_bytes(*roll_outs, batch) : 0);
  sizes.samples = batch;
  sizes.pass = setup_.settings.run.micro_batch;
  sizes.area_bytes = device::aligned(area_bytes(std::max(batch, sizes.pass), setup_.dataset->predictions_max(),
                                                setup_.dataset->begin().values.size(), asks ? roll_outs->group() : 0));
  sizes.validation = programs_.evaluation.nodes.empty() || setup_.roll_outs ? 0 : setup_.dataset->validation_count();
  return sizes;
}

std::unique_ptr<guard::KeeperTask> TrainingTask::keeper(int threads) {
  return std::make_unique<TrainingKeeper>(*this, threads);
}

std::unique_ptr<guard::WorkerTask> TrainingTask::worker(const guard::Place& place, int threads) {
  return std::make_unique<TrainingWorker>(*this, device(place, threads));
}

device::DeviceOptions TrainingTask::device(const guard::Place& place, int threads) const {
  device::DeviceOptions options = device_;
  options.backend = place.backend;
  options.number = place.device;
  options.threads = threads;
  if (place.backend != device_.backend) options.isa.clear();
  return options;
}

}  // namespace godwit::train
