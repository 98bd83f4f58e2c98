#include "train/keeper.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "store/checkpoint.h"
#include "train/area.h"
#include "train/beginning.h"
#include "train/judge.h"
#include "train/lies.h"
#include "train/metrics.h"

namespace godwit::train {

using guard::Phase;

TrainingKeeper::TrainingKeeper(const TrainingTask& task, int threads)
    : task_(task), threads_(threads), joiner_(task.programs()), optimizer_(task.programs()) {}

Result<void> TrainingKeeper::prepare(const guard::Memory& memory, guard::Pulse& pulse) {
  memory_ = memory;
  pulse_ = &pulse;
  pulse.enter(Phase::preparing, 0);
  TRY_ASSIGN(device_, open_device(task_.device({}, threads_), pulse, liar_));
  device_->watch([this](std::int32_t op) {
    pulse_->op({});
    if (pass_ != nullptr) pass_op(op);
  });
  std::vector<State*> states;
  for (std::byte* base : memory.states) {
    TRY_ASSIGN(auto state, State::over(*device_, *task_.setup().model, task_.layout(), base));
    states_.push_back(std::move(state));
    states.push_back(states_.back().get());
  }
  for (const auto& worker : memory.slots) {
    std::vector<device::Buffer>& buffers = slots_.emplace_back();
    for (std::byte* slot : worker) {
      TRY_ASSIGN(device::Buffer buffer, device_->wrap(slot, task_.sizes().slot_bytes));
      buffers.push_back(std::move(buffer));
    }
  }
  const std::size_t leaves = slots_.empty() ? 1 : slots_[0].size();
  if (leaves > 1) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(std::bit_width(leaves)); ++i) {
      TRY_ASSIGN(device::Buffer node, device_->allocate(task_.programs().node_bytes()));
      nodes_.push_back(std::move(node));
    }
    TRY(joiner_.prepare(*device_));
  }
  TRY(optimizer_.prepare(*device_, states));
  const store::StateList& list = states_[0]->list();
  std::size_t hashes = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const bool run = list[i].name.starts_with("run.");
    if (run) scalars_.push_back(i);
    if (!run && task_.programs().update.find("next." + list[i].name) == program::TensorId::none) untouched_.push_back(i);
    first_hash_.push_back(hashes);
    hashes += (list[i].bytes.size() + digest_block_bytes - 1) / digest_block_bytes;
  }
  const program::Program& update = task_.programs().update;
  for (const program::Node& node : update.nodes) {
    std::vector<std::size_t>& written = written_.emplace_back();
    for (const program::TensorId output : node.outputs) {
      const std::string name = update.tensor(output).name.substr(std::string_view("next.").size());
      const auto place = std::ranges::find(list, name, &store::StateTensor::name);
      CHECK(place != list.end(), "the optimizer writes {}, which is no state", name);
      written.push_back(static_cast<std::size_t>(place - list.begin()));
    }
  }
  return {};
}

void TrainingKeeper::hash_tensor(State& state, std::size_t index) {
  const std::vector<TensorDigest> digest = store::digest_tensors({state.list()[index]}, threads_);
  std::ranges::copy(digest[0].blocks, state.layout().hashes(state.base()).begin() + static_cast<std::ptrdiff_t>(first_hash_[index]));
}

std::string TrainingKeeper::check_tensor(const State& state, std::size_t index) const {
  const std::vector<TensorDigest> digest = store::digest_tensors({state.list()[index]}, threads_);
  const std::span<const BlockHash> known = state.layout().hashes(state.base()).subspan(first_hash_[index], digest[0].blocks.size());
  for (std::size_t block = 0; block < known.size(); ++block) {
    if (!(known[block] == digest[0].blocks[block])) return fmt::format("block {} of {}", block, digest[0].name);
  }
  return "";
}

void TrainingKeeper::pass_op(std::int32_t op) {
  if (pass_->last >= 0) {
    for (const std::size_t written : written_[static_cast<std::size_t>(pass_->last)]) hash_tensor(*pass_->to, written);
    // After the hash: it is of what the device made, or this says no.
    const Result<std::string> own = own_doubts();
    if (pass_->own.empty()) pass_->own = own.ok() ? *own : own.error().message;
  }
  pass_->last = op;
  if (op < 0 || pass_->from == pass_->to) return;
  for (const std::size_t read : written_[static_cast<std::size_t>(op)]) {
    if (pass_->changed.empty()) pass_->changed = check_tensor(*pass_->from, read);
  }
}

Result<std::string> TrainingKeeper::own_doubts() {
  TRY_ASSIGN(const device::Device::Evidence evidence, device_->evidence());
  if (evidence.count == 0) return std::string();
  const device::Finding& first = evidence.findings.at(0);
  return fmt::format("the keeper's own {} (op {}, tensor {}, row {}) is in doubt, one of {} results", first.op, first.index, first.tensor,
                     first.row, evidence.count);
}

Result<guard::KeeperTask::Loaded> TrainingKeeper::load(std::size_t index, std::uint64_t before) {
  pulse_->enter(Phase::loading, 0);
  State& state = *states_[index];
  Loaded loaded;
  const auto beat = [this] { pulse_->beat(); };
  TRY_ASSIGN(const auto info, store::load_newest(task_.run().checkpoints(), state.list(), loaded.refused, before));
  if (info) {
    loaded.loaded = true;
    loaded.profile = info->profile;
  } else {
    TRY(begin_run(task_.setup(), state, beat));
  }
  loaded.step = state.scalars().step;
  state.hash(threads_);
  pulse_->beat();
  return loaded;
}

Result<std::string> TrainingKeeper::check(std::size_t index) {
  State& state = *states_[index];
  const std::vector<TensorDigest> now = store::digest_tensors(state.list(), threads_);
  const std::vector<TensorDigest> then = state.digests();
  for (std::size_t i = 0; i < now.size(); ++i) {
    for (std::size_t block = 0; block < now[i].blocks.size(); ++block) {
      if (!(now[i].blocks[block] == then[i].blocks[block])) return fmt::format("block {} of {}", block, now[i].name);
    }
  }
  return std::string();
}

std::span<std::byte> TrainingKeeper::area(std::size_t index) const {
  return {memory_.areas[index], static_cast<std::size_t>(task_.sizes().area_bytes)};
}

Result<std::string> TrainingKeeper::draw(std::uint64_t step, const std::function<Result<void>()>& samples) {
  const Result<void> drawn = samples();
  if (drawn.ok()) return std::string();
  if (drawn.error().kind != ErrorKind::differs) return drawn.error();
  pulse_->enter(Phase::loading, step);
  data::DatasetOptions options = dataset_options(task_.setup(), task_.run());
  options.progress = [this](double) { pulse_->beat(); };
  TRY_ASSIGN(const std::string repaired, task_.setup().dataset->repair(options));
  if (const Result<void> again = samples(); !again.ok()) return world_error("{}", again.error().message);
  return repaired;
}

Result<guard::Drawn> TrainingKeeper::batch(std::size_t state, std::size_t index) {
  const std::uint64_t step = states_[state]->scalars().step + 1;
  carry_out(pulse_->enter(Phase::batch, step), *states_[state]);
  const RollOuts* roll_outs = task_.setup().roll_outs.get();
  // A record that is not what was written is waited for, as files of data are.
  const Result<std::optional<Scores>> scores = scores_for(task_.setup(), task_.run(), step - 1);
  if (!scores.ok()) return world_error("{}", scores.error().message);
  guard::Drawn drawn;
  if (roll_outs != nullptr && roll_outs->asks() && !*scores) {
    drawn.lacks = scores_path(task_.run().rewards(), roll_outs->written_at(step - 1) + 1).string();
  }
  TRY_ASSIGN(drawn.repaired, draw(step, [&]() -> Result<void> {
               data::Cursor cursor = states_[state]->cursor();
               TRY_ASSIGN(const std::vector<data::Sample> samples, next_samples(task_.setup(), step - 1, cursor));
               write_area(area(index), samples, cursor, *scores);
               return {};
             }));
  return drawn;
}

Result<guard::Asked> TrainingKeeper::ask(std::size_t state, std::size_t index, std::span<const guard::Proposed> written) {
  const std::uint64_t step = states_[state]->scalars().step + 1;
  carry_out(pulse_->enter(Phase::asking, step), *states_[state]);
  const RollOuts& roll_outs = *task_.setup().roll_outs;
  const auto bytes = [&](std::int64_t samples) { return question_bytes(roll_outs, samples); };
  guard::Asked asked;
  if (std::vector<int> changed = changed_in_transit(written, bytes); !changed.empty()) {
    asked.doubts.push_back({"the completions are not what their worker wrote: their bytes changed on the way", false, std::move(changed)});
    return asked;
  }
  TRY_ASSIGN(const Area prompts, read_area(area(index)));
  std::vector<data::Sample> completions;
  for (const guard::Proposed& proposed : written) {
    TRY_ASSIGN(Area part, read_area({slot(proposed), static_cast<std::size_t>(bytes(proposed.count))}));
    std::ranges::move(part.samples, std::back_inserter(completions));
  }
  const auto group = static_cast<std::size_t>(roll_outs.group());
  CHECK(completions.size() == prompts.samples.size() * group, "{} completions to {} prompts", completions.size(), prompts.samples.size());
  TRY_ASSIGN(RollOuts::Said said, roll_outs.ask(prompts.samples, completions, [this] { pulse_->beat(); }));
  std::vector<ScoredGroup> groups;
  for (std::size_t i = 0; i < prompts.samples.size(); ++i) {
    groups.push_back({completions_digest(std::span(completions).subspan(i * group, group)), std::move(said.scores[i])});
  }
  TRY(write_scores(task_.run().rewards(), roll_outs.written_at(step - 1) + 1, groups));
  asked.warnings = std::move(said.warnings);
  asked.unconfined = std::move(said.unconfined);
  return asked;
}

Result<std::string> TrainingKeeper::validation(std::int64_t first, std::int64_t count, std::size_t index) {
  return draw(0, [&]() -> Result<void> {
    std::vector<data::Sample> samples;
    for (std::int64_t i = first; i < first + count; ++i) {
      TRY_ASSIGN(data::Sample sample, task_.setup().dataset->validation(i));
      samples.push_back(std::move(sample));
    }
    write_area(area(index), samples, {});
    pulse_->beat();
    return {};
  });
}

std::vector<int> TrainingKeeper::changed_in_transit(std::span<const guard::Proposed> proposals,
                                                    const std::function<std::int64_t(std::int64_t)>& bytes) const {
  std::vector<int> changed;
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    const BlockHash now = checksum({slot(proposals[i]), static_cast<std::size_t>(bytes(proposals[i].count))}, threads_);
    if (!(now == proposals[i].checksum)) changed.push_back(static_cast<int>(i));
    pulse_->beat();
  }
  return changed;
}

std::vector<int> TrainingKeeper::not_finite(std::span<const guard::Proposed> proposals) const {
  std::vector<int> found;
  const Programs& programs = task_.programs();
  for (std::size_t i = 0; i < proposals.size(); ++i) {
    const std::byte* at = slot(proposals[i]);
    const bool bad = std::ranges::any_of(programs.summed(), [&](const Programs::Summed& summed) {
      const program::TensorType& type = programs.training.tensor(programs.training.find(summed.name)).type;
      if (type.dtype != program::Dtype::f32) return false;
      const auto* values = reinterpret_cast<const float*>(at + summed.offset);
      return !std::all_of(values, values + type.shape.count(), [](float x) { return std::isfinite(x); });
    });
    if (bad) found.push_back(static_cast<int>(i));
  }
  return found;
}

Result<NodeAt> TrainingKeeper::join(std::span<const guard::Proposed> proposals) {
  std::vector<NodeAt> free;
  for (const device::Buffer& node : nodes_) free.push_back({&node, 0});
  TreeOfNodes tree(joiner_, std::move(free));
  for (const guard::Proposed& proposal : proposals) {
    TRY(tree.add({&slots_[static_cast<std::size_t>(proposal.worker)][static_cast<std::size_t>(proposal.slot)], 0}));
  }
  return tree.root();
}

std::optional<RollOuts::Step> TrainingKeeper::read_records(std::span<const guard::Proposed> proposals) const {
  const RollOuts* roll_outs = task_.setup().roll_outs.get();
  if (roll_outs == nullptr) return std::nullopt;
  std::vector<const std::byte*> records;
  for (const guard::Proposed& proposal : proposals) {
    for (std::int64_t i = 0; i < proposal.count; ++i)
      records.push_back(slot(proposal) + task_.programs().node_bytes() + i * task_.record_bytes());
  }
  return roll_outs->read(records);
}

void TrainingKeeper::copy_untouched(const State& from, State& to) const {
  if (&from == &to) return;
  for (const std::size_t i : untouched_) std::memcpy(to.list()[i].bytes.data(), from.list()[i].bytes.data(), to.list()[i].bytes.size());
}

void TrainingKeeper::copy_weights(const State& from, State& to) const {
  for (const std::string& prefix : to.layout().copies()) {
    if (task_.setup().roll_outs->copies_at(prefix, from.layout().scalars(from.base()).step)) from.copy_weights(prefix, to);
  }
}

void TrainingKeeper::leave(const State& from, State& to) {
  if (&from != &to) std::memcpy(to.base(), from.base(), static_cast<std::size_t>(to.layout().bytes()));
  if (to.layout().copies().empty()) return;
  copy_weights(from, to);
  for (const std::size_t index : untouched_) hash_tensor(to, index);
}

void TrainingKeeper::carry_out(const std::vector<const guard::Fault*>& faults, State& state) {
  for (const guard::Fault* fault : faults) {
    lie(*fault, liar_.get(), *pulse_);
    if (fault->act != guard::Act::flip_state) continue;
    for (const store::StateTensor& tensor : state.list()) {
      if (tensor.bytes.empty() || tensor.name.find(fault->tensor) == std::string::npos) continue;
      const std::size_t byte = (fault->seed * 2654435761u) % tensor.bytes.size();
      pulse_->tell(*fault, fmt::format("bit 6 of byte {} of {}", byte, tensor.name));
      tensor.bytes[byte] ^= std::byte{64};
      break;
    }
  }
}

Result<TrainingKeeper::Once> TrainingKeeper::make_once(std::size_t from_index, std::size_t to_index, std::int64_t predictions,
                                                       const std::optional<RollOuts::Step>& rolled,
                                                       std::span<const guard::Proposed> proposals,
                                                       const std::function<void(Phase)>& enter) {
  Once once;
  State& from = *states_[from_index];
  State& to = *states_[to_index];
  TRY_ASSIGN(const NodeAt root, join(proposals));
  enter(Phase::judging);
  TRY_ASSIGN(const float norm, optimizer_.norm(root, rolled ? rolled->mean : 1.0f));
  once.proposal = task_.programs().read(root.host(), predictions);
  if (rolled) once.proposal.loss *= rolled->mean;
  TRY_ASSIGN(once.own, own_doubts());
  if (!once.own.empty()) return once;
  // A loss of roll-outs has no past to be compared with: it is near zero at every step.
  once.judged = doubt_of(rolled ? RunScalars{} : from.scalars(), once.proposal.loss, norm);
  if (!once.judged.empty()) return once;
  enter(Phase::applying);
  Pass pass{.from = &from, .to = &to, .last = -1, .changed = {}, .own = {}};
  pass_ = &pass;
  Result<Applied> done = optimizer_.apply(from_index, to_index, root);
  if (done.ok()) pass_op(-1);  // what the last op wrote
  pass_ = nullptr;
  TRY_ASSIGN(once.applied, std::move(done));
  if (liar_) liar_->disarm();
  once.own = std::move(pass.own);
  once.changed = std::move(pass.changed);
  return once;
}

namespace {

Json facts_of(const Proposal& proposal, const Applied& applied) {
  Json facts;
  facts["loss"] = static_cast<double>(proposal.loss);
  facts["lr"] = static_cast<double>(applied.lr);
  facts["grad_norm"] = static_cast<double>(applied.gradient_norm);
  facts["tokens"] = proposal.predictions;
  if (proposal.mtp_loss != 0) facts["mtp_loss"] = static_cast<double>(proposal.mtp_loss);
  if (proposal.balance_loss != 0) facts["balance_loss"] = static_cast<double>(proposal.balance_loss);
  if (!proposal.expert_counts.empty()) {
    Json load = Json::array();
    for (const auto& counts : proposal.expert_counts) load.push_back(expert_load(counts));
    facts["expert_load"] = load;
  }
  return facts;
}

}  // namespace

Result<guard::Made> TrainingKeeper::make(std::size_t from_index, std::size_t to_index, std::size_t area_index,
                                         std::span<const guard::Proposed> proposals, guard::How how) {
  guard::Made made;
  State& from = *states_[from_index];
  State& to = *states_[to_index];
  const std::uint64_t step = from.scalars().step + 1;
  carry_out(pulse_->enter(Phase::joining, step), from);
  TRY_ASSIGN(const Area samples, read_area(area(area_index)));
  // Is the committed state still what it was? Asked only where there is another one to go back to.
  const bool checks = from_index != to_index;
  const auto state_changed = [&](const std::string& changed) {
    made.doubts.push_back({fmt::format("the committed state is not what it was: {} has changed", changed), false, {}});
    return made;
  };
  Json facts;
  std::optional<Proposal> proposal;
  std::optional<RollOuts::Step> rolled;
  if (how == guard::How::apply) {
    if (!task_.setup().roll_outs && samples.counts.next == 0) {
      // No proposal can mend that.
      std::vector<int> all(proposals.size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<int>(i);
      made.doubts.push_back(
          {fmt::format("the batch of {} samples has no labelled prediction", samples.samples.size()), true, std::move(all)});
      return made;
    }
    const auto bytes = [this](std::int64_t count) { return task_.proposal_bytes(count); };
    if (std::vector<int> changed = changed_in_transit(proposals, bytes); !changed.empty()) {
      made.doubts.push_back({"the proposal is not what its worker made: its bytes changed on the way", false, std::move(changed)});
      return made;
    }
    rolled = read_records(proposals);
    if (samples.scores) made.note = scores_note(*samples.scores);
  }
  const bool silent = rolled && rolled->silent;
  if (how == guard::How::skip || silent) {
    pulse_->enter(Phase::applying, step);
    if (checks) {
      TRY_ASSIGN(const std::string changed, check(from_index));
      if (!changed.empty()) return state_changed(changed);
    }
    leave(from, to);
    if (silent) {
      proposal.emplace().predictions = rolled->tokens;
      facts = {{"no_update", true}, {"tokens", rolled->tokens}};
    }
  } else {
    if (!checks) copy_weights(from, to);  // in place they are soon others
    Once once;
    constexpr int tries = 5;
    for (int attempt = 1;; ++attempt) {
      const auto enter = [&](Phase phase) {
        if (attempt == 1) carry_out(pulse_->enter(phase, step), from);
      };
      TRY_ASSIGN(once, make_once(from_index, to_index, rolled ? rolled->tokens : samples.counts.next, rolled, proposals, enter));
      if (once.own.empty()) break;
      // In place the state is gone with it; a process that errs each time is replaced by another.
      if (!checks || attempt == tries) return world_error("{}", once.own);
      made.mended = fmt::format("{}: it was made again", once.own);
    }
    if (!once.judged.empty()) {
      std::vector<int> concerned = not_finite(proposals);
      if (concerned.empty()) {
        for (std::size_t i = 0; i < proposals.size(); ++i) concerned.push_back(static_cast<int>(i));
      }
      made.doubts.push_back({once.judged, true, std::move(concerned)});
      return made;
    }
    for (const auto* rest : {&untouched_, &scalars_}) {
      for (const std::size_t index : *rest) {
        if (checks && once.changed.empty()) once.changed = check_tensor(from, index);
      }
    }
    if (!once.changed.empty()) return state_changed(once.changed);
    copy_untouched(from, to);
    if (checks) copy_weights(from, to);
    for (const std::size_t index : untouched_) hash_tensor(to, index);
    facts = facts_of(once.proposal, once.applied);
    proposal = std::move(once.proposal);
  }
  if (rolled) {
    made.samples = std::move(rolled->samples);
    for (const auto& fact : rolled->facts.items()) facts[fact.key] = fact.value;
  }
  pulse_->enter(Phase::digesting, step);
  to.scalars() = after_step(from.scalars(), proposal);
  if (!proposal) {
    facts["skipped"] = true;
    facts["skipped_in_a_row"] = to.scalars().skipped_in_a_row;
  }
  to.set_cursor(samples.cursor);
  for (const std::size_t index : scalars_) hash_tensor(to, index);
  pulse_->beat();
  made.facts = std::move(facts);
  return made;
}

}  // namespace godwit::train
