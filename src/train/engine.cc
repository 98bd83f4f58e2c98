#include "train/engine.h"

#include <algorithm>

namespace godwit::train {

Result<void> Engine::prepare(device::Device& device, State& state) {
  State* const states[] = {&state};
  TRY_ASSIGN(root_, device.allocate_shared(programs_.node_bytes()));
  TRY(proposer_.prepare(device, states, programs_.settings().run.batch));
  return optimizer_.prepare(device, states);
}

std::vector<const device::Executable*> Engine::executables() const {
  std::vector<const device::Executable*> all = proposer_.executables();
  for (const device::Executable* executable : optimizer_.executables()) all.push_back(executable);
  return all;
}

Result<std::int64_t> Engine::held_bytes() const {
  std::int64_t bytes = 0, workspace = 0;
  for (const device::Executable* executable : executables()) {
    TRY_ASSIGN(const device::Executable::Held held, executable->held());
    bytes += held.private_bytes;
    workspace = std::max(workspace, held.workspace_bytes);
  }
  return bytes + workspace;
}

Result<Proposal> Engine::propose(std::span<const data::Sample> samples, const std::function<bool()>& interrupted) {
  const LabelCounts counts = count_labels(samples);
  if (counts.next == 0) return world_error("a batch of {} samples has no labelled prediction", samples.size());
  TRY(proposer_.propose(samples, programs_.weights(counts, static_cast<std::int64_t>(samples.size())), root(), interrupted));
  return programs_.read(root_.host(), counts.next);
}

Result<Engine::Rolled> Engine::propose_rolled(const RollOuts& roll_outs, RollOut& roll_out, std::span<const data::Sample> prompts,
                                              std::span<const ScoredGroup> scored, std::uint64_t step,
                                              const std::function<bool()>& interrupted) {
  const std::int64_t stride = record_stride(&roll_outs);
  std::vector<std::byte> bytes(prompts.size() * static_cast<std::size_t>(stride));
  TRY(train::propose_rolled(
      proposer_, roll_out, roll_outs, prompts, scored, step, root(), bytes, [](bool) {}, interrupted));
  std::vector<const std::byte*> records;
  for (std::size_t i = 0; i < prompts.size(); ++i) records.push_back(bytes.data() + i * static_cast<std::size_t>(stride));
  Rolled rolled;
  rolled.step = roll_outs.read(records);
  rolled.proposal = programs_.read(root_.host(), rolled.step.tokens);
  rolled.proposal.loss *= rolled.step.mean;
  if (rolled.step.silent) rolled.proposal.loss = 0;
  return rolled;
}

Result<std::vector<float>> Engine::read_gradient(const std::string& parameter) const {
  const std::string name = "grad." + parameter;
  for (const Programs::Summed& summed : programs_.summed()) {
    if (summed.name != name) continue;
    const auto count = static_cast<std::size_t>(programs_.training.tensor(programs_.training.find(name)).type.shape.count());
    const auto* values = reinterpret_cast<const float*>(root_.host() + summed.offset);
    return std::vector<float>(values, values + count);
  }
  return world_error("the parameter {} has no gradient", parameter);
}

Result<Applied> Engine::apply() {
  TRY_ASSIGN(const Applied applied, optimizer_.apply(0, 0, root()));
  TRY(state_changed());
  return applied;
}

Result<Engine::Evaluation> Engine::evaluate(const data::Dataset& dataset, const std::function<bool()>& interrupted) {
  Evaluation result;
  double sum = 0;
  std::vector<data::Sample> samples;
  for (std::int64_t i = 0; i < dataset.validation_count(); ++i) {
    TRY_ASSIGN(data::Sample sample, dataset.validation(i));
    samples.push_back(std::move(sample));
    if (static_cast<std::int64_t>(samples.size()) < programs_.micro_batch() && i + 1 < dataset.validation_count()) continue;
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    TRY_ASSIGN(const std::vector<double> sums, proposer_.evaluate(samples));
    for (const double each : sums) sum += each;
    result.predictions += count_labels(samples).next;
    samples.clear();
  }
  result.loss = result.predictions > 0 ? sum / static_cast<double>(result.predictions) : 0.0;
  return result;
}

}  // namespace godwit::train
