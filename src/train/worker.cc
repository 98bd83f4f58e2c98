#include "train/worker.h"

#include <cstring>
#include <limits>

#include "base/clock.h"
#include "device/backends.h"
#include "device/coverage.h"
#include "train/admission.h"
#include "train/area.h"
#include "train/lies.h"

namespace godwit::train {

using guard::Phase;

TrainingWorker::TrainingWorker(const TrainingTask& task, const device::DeviceOptions& options)
    : task_(task), options_(options), proposer_(task.programs()) {}

Result<void> TrainingWorker::prepare(const guard::Memory& memory, int slots, guard::Pulse& pulse) {
  memory_ = memory;
  pulse_ = &pulse;
  pulse.enter(Phase::preparing, 0);
  if (device::brings_driver(options_.backend)) {
    TRY_ASSIGN(identity_, guard::identify_here(options_));
    TRY(check_own_admission(task_, *identity_));
  }
  TRY_ASSIGN(device_, open_device(options_, pulse, liar_));
  std::vector<State*> states;
  for (std::byte* base : memory.states) {
    TRY_ASSIGN(auto state, State::over(*device_, *task_.setup().model, task_.layout(), base));
    states_.push_back(std::move(state));
    states.push_back(states_.back().get());
  }
  for (std::byte* slot : memory.slots[static_cast<std::size_t>(slots)]) {
    TRY_ASSIGN(device::Buffer buffer, device_->wrap(slot, task_.sizes().slot_bytes));
    slots_.push_back(std::move(buffer));
  }
  pulse.beat();
  TRY(proposer_.prepare(*device_, states, task_.programs().settings().run.batch));
  if (task_.setup().roll_outs) {
    roll_out_ = task_.setup().roll_outs->roll_out();
    std::vector<const device::Buffer*> buffers;
    for (const auto& state : states_) buffers.push_back(&state->buffer());
    TRY(roll_out_->prepare(*device_, buffers, task_.layout()));
  }
  watch();
  return {};
}

std::string TrainingWorker::coverage() const {
  device::Coverage coverage;
  for (const device::Executable* executable : executables()) coverage.add(*device_, executable->program());
  return coverage.ops_elsewhere + std::ssize(coverage.by_parts) > 0 ? coverage.text() : "";
}

void TrainingWorker::watch() {
  device_->watch([this](std::int32_t op) {
    if (running_ != nullptr && pulse_->phase() == Phase::forward && op >= proposer_.backward_begins()) {
      spoil(pulse_->enter(Phase::backward, step_));
    }
    pulse_->op(running_ != nullptr ? running_->nodes[static_cast<std::size_t>(op)].op->name : std::string_view());
  });
}

Result<void> TrainingWorker::follow(const guard::Order& order) {
  if (used_ && !order.state_changed) return {};
  TRY(device_->verify_key(order.key[0], order.key[1]));
  running_ = nullptr;
  used_ = true;
  TRY(proposer_.use(order.state));
  return roll_out_ ? roll_out_->use(order.state) : Result<void>();
}

std::vector<const device::Executable*> TrainingWorker::executables() const {
  std::vector<const device::Executable*> all = proposer_.executables();
  if (roll_out_) {
    for (const device::Executable* executable : roll_out_->executables()) all.push_back(executable);
  }
  return all;
}

Result<Area> TrainingWorker::read(std::size_t area) const {
  return read_area({memory_.areas[area], static_cast<std::size_t>(task_.sizes().area_bytes)});
}

Result<guard::Answer> TrainingWorker::propose(const guard::Order& order, const std::function<bool()>& interrupted) {
  step_ = order.step;
  device_->spoil_no_longer();
  if (liar_) liar_->disarm();
  poison_ = nullptr;
  spoil(pulse_->enter(Phase::forward, order.step));
  TRY_ASSIGN(const Area area, read(order.area));
  TRY(follow(order));
  TRY(device_->verify_key(order.key[0], order.key[1]));
  const std::span<const data::Sample> samples =
      std::span(area.samples).subspan(static_cast<std::size_t>(order.first), static_cast<std::size_t>(order.count));
  const device::Buffer& slot = slots_[static_cast<std::size_t>(order.slot)];
  const auto between = [&] {
    if (pulse_->phase() == Phase::backward) pulse_->enter(Phase::forward, order.step);
    return interrupted();
  };
  const std::int64_t slot_bytes =
      order.question ? question_bytes(*task_.setup().roll_outs, order.count) : task_.proposal_bytes(order.count);
  const std::span<std::byte> bytes(slot.host(), static_cast<std::size_t>(slot_bytes));
  const auto training = [this](bool now) { running_ = now ? &task_.programs().training : nullptr; };
  guard::Answer answer;
  if (order.question) {
    TRY_ASSIGN(answer.writing_s, write_question(*roll_out_, samples, order.step - 1, bytes, between));
  } else if (roll_out_) {
    std::span<const ScoredGroup> scored;
    if (area.scores) scored = std::span(area.scores->groups).subspan(static_cast<std::size_t>(order.first), samples.size());
    const std::span<std::byte> records = bytes.subspan(static_cast<std::size_t>(task_.programs().node_bytes()));
    TRY_ASSIGN(answer.writing_s, propose_rolled(proposer_, *roll_out_, *task_.setup().roll_outs, samples, scored, order.step - 1,
                                                {&slot, 0}, records, training, between));
  } else {
    training(true);
    const LossWeights weights = task_.programs().weights(area.counts, static_cast<std::int64_t>(area.samples.size()));
    const Result<void> done = proposer_.propose(samples, weights, {&slot, 0}, between);
    training(false);
    TRY(done);
  }
  answer.checksum = checksum(bytes, options_.threads);
  TRY_ASSIGN(device::Device::Evidence evidence, proposer_.evidence());
  answer.findings = std::move(evidence.findings);
  answer.finding_count = evidence.count;
  answer.checked = device_->checked();
  if (poison_ != nullptr && !order.question) {
    poison(bytes);
    answer.checksum = checksum(bytes, options_.threads);
  }
  carry_out(pulse_->enter(Phase::sending, order.step), bytes);
  return answer;
}

Result<guard::WorkerTask::Evaluated> TrainingWorker::evaluate(const guard::Order& order) {
  pulse_->enter(Phase::evaluating, order.step);
  TRY_ASSIGN(const Area area, read(order.area));
  TRY(follow(order));
  Evaluated evaluated;
  TRY_ASSIGN(evaluated.sums, proposer_.evaluate(area.samples));
  evaluated.predictions = area.counts.next;
  TRY_ASSIGN(const device::Device::Evidence evidence, proposer_.evidence());
  evaluated.finding_count = evidence.count;
  return evaluated;
}

Result<Digest> TrainingWorker::read_back(const guard::Order& order) {
  const std::vector<const guard::Fault*> faults = pulse_->enter(Phase::comparing, order.step);
  const State& state = *states_[order.state];
  if (!read_back_) {
    read_back_.emplace();
    TRY(read_back_->prepare(*device_, state));
  }
  for (const guard::Fault* fault : faults) {
    if (fault->act != guard::Act::flip_copy) continue;
    pulse_->tell(*fault, "bit 6 of a byte of the first tensor");
    read_back_->spoil_next(fault->seed);
  }
  return read_back_->digest(state, options_.threads, [this] { pulse_->beat(); });
}

void TrainingWorker::spoil(const std::vector<const guard::Fault*>& faults) {
  for (const guard::Fault* fault : faults) {
    if (fault->act == guard::Act::poison) poison_ = fault;
    lie(*fault, liar_.get(), *pulse_);
    if (fault->act != guard::Act::spoil) continue;
    const auto told = [this, fault](const godwit_spoilt& spoilt) {
      pulse_->tell(*fault, fmt::format("op {} row {} column {}: {} became {} (rms of the row {})", spoilt.op, spoilt.row, spoilt.column,
                                       spoilt.before, spoilt.after, spoilt.row_rms));
    };
    godwit_spoil spoil = fault->spoil;
    // The time of a device that fails when it is hot began when it was first told to.
    const double since = monotonic_seconds() - spoiling_since_.try_emplace(fault, monotonic_seconds()).first->second;
    spoil.after_seconds = std::max(0.0, spoil.after_seconds - since);
    spoil.seed += step_ * 0x9E3779B97F4A7C15u;  // another place at each step
    const Result<void> armed = device_->spoil(spoil, told);
    if (!armed.ok()) pulse_->tell(*fault, armed.error().message);
  }
}

// A loss that is not a number, in a proposal that is otherwise whole.
void TrainingWorker::poison(std::span<std::byte> slot) {
  for (const Programs::Summed& summed : task_.programs().summed()) {
    if (summed.name != "loss") continue;
    pulse_->tell(*poison_, "the loss becomes NaN");
    const float nan = std::numeric_limits<float>::quiet_NaN();
    std::memcpy(slot.data() + summed.offset, &nan, sizeof nan);
  }
}

// What happens to a finished proposal on its way: after its checksum was taken.
void TrainingWorker::carry_out(const std::vector<const guard::Fault*>& faults, std::span<std::byte> slot) {
  for (const guard::Fault* fault : faults) {
    const auto at = [&](std::uint64_t salt) { return (fault->seed + salt) * 0x9E3779B97F4A7C15u % (slot.size() / 64) * 64; };
    const std::span<std::byte> chunk = slot.subspan(at(1), 64);
    switch (fault->act) {
      case guard::Act::flip_proposal:
        pulse_->tell(*fault, fmt::format("bit 5 of byte {}", at(1)));
        chunk[0] ^= std::byte{32};
        break;
      case guard::Act::swap_proposal: {
        const std::span<std::byte> other = slot.subspan(at(2), 64);
        pulse_->tell(*fault, fmt::format("64 bytes at {} and at {} change places", at(1), at(2)));
        std::swap_ranges(chunk.begin(), chunk.end(), other.begin());
        break;
      }
      case guard::Act::cut_proposal: {
        // The last 8 numbers of the last tensor that is not a padding's.
        const Programs::Summed& last = task_.programs().summed().back();
        const program::Tensor& tensor = task_.programs().training.tensor(task_.programs().training.find(last.name));
        const auto bytes = static_cast<std::size_t>(std::min<std::int64_t>(32, tensor.type.bytes()));
        const auto begin = static_cast<std::size_t>(last.offset + tensor.type.bytes()) - bytes;
        pulse_->tell(*fault, fmt::format("the last {} bytes of {} are lost", bytes, last.name));
        for (std::byte& byte : slot.subspan(begin, bytes)) byte = ~byte;
        break;
      }
      default:
        break;
    }
  }
}

}  // namespace godwit::train
