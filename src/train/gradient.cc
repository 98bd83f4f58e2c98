#include "train/gradient.h"

#include <algorithm>

namespace godwit::train {

using program::TensorId;

namespace {

Result<std::unique_ptr<device::Executable>> prepare_one(device::Device& device, const program::Program& program) {
  TRY_ASSIGN(device::Executable made, device.prepare(program));
  return std::make_unique<device::Executable>(std::move(made));
}

}  // namespace

void bind_summed(const Programs& programs, device::Executable& executable, std::span<const TensorId> ids, NodeAt node) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != TensorId::none) executable.bind(ids[i], *node.buffer, node.offset + programs.summed()[i].offset);
  }
}

Result<void> Joiner::prepare(device::Device& device) {
  TRY_ASSIGN(join_, prepare_one(device, programs_.join));
  earlier_ = find_summed(programs_, join_->program(), "earlier.");
  later_ = find_summed(programs_, join_->program(), "later.");
  sum_ = find_summed(programs_, join_->program());
  return {};
}

Result<void> Joiner::join(NodeAt earlier, NodeAt later, NodeAt into) {
  bind_summed(programs_, *join_, earlier_, earlier);
  bind_summed(programs_, *join_, later_, later);
  bind_summed(programs_, *join_, sum_, into);
  return join_->run();
}

NodeAt TreeOfNodes::take() {
  CHECK(!free_.empty(), "the tree over samples is deeper than planned");
  taken_.push_back(free_.front());
  free_.erase(free_.begin());
  return taken_.back();
}

Result<void> TreeOfNodes::join_last() {
  const Entry later = stack_.back();
  stack_.pop_back();
  Entry& earlier = stack_.back();
  NodeAt into = earlier.node;
  if (!earlier.own) into = later.own ? later.node : take();
  TRY(joiner_.join(earlier.node, later.node, into));
  if (earlier.own && later.own) free_.insert(free_.begin(), later.node);
  earlier = {into, std::max(earlier.level, later.level) + 1, true};
  return {};
}

Result<void> TreeOfNodes::add(NodeAt leaf) {
  const bool own = std::ranges::find(taken_, leaf) != taken_.end();
  stack_.push_back({leaf, 0, own});
  while (stack_.size() > 1 && stack_[stack_.size() - 2].level == stack_.back().level) TRY(join_last());
  return {};
}

Result<NodeAt> TreeOfNodes::root() {
  CHECK(!stack_.empty(), "a tree over no samples has no root");
  while (stack_.size() > 1) TRY(join_last());
  return stack_.back().node;
}

Result<void> Proposer::bind(device::Executable& executable, std::size_t state, const std::string& prefix) {
  for (const auto& [name, offset] : states_[state]->layout().weights(prefix)) {
    const TensorId id = executable.program().find(name);
    if (id != TensorId::none) executable.bind(id, states_[state]->buffer(), offset);
  }
  return {};
}

Result<void> Proposer::prepare(device::Device& device, std::span<State* const> states, std::int64_t samples_max) {
  device_ = &device;
  states_.assign(states.begin(), states.end());
  nodes_.clear();
  // The root's node is given with each proposal.
  for (std::size_t i = 1; i < programs_.nodes_of(samples_max); ++i) {
    TRY_ASSIGN(device::Buffer node, device.allocate(programs_.node_bytes()));
    nodes_.push_back(std::move(node));
  }
  const auto constants = [&](device::Executable& executable) -> Result<void> {
    for (const model::Constant& constant : programs_.model().constants(executable.program()))
      TRY(executable.write(executable.program().find(constant.name), std::span<const float>(constant.values)));
    return {};
  };
  TRY_ASSIGN(training_, prepare_one(device, programs_.training));
  summed_ = find_summed(programs_, training_->program());
  if (!nodes_.empty()) TRY(joiner_.prepare(device));
  if (!programs_.evaluation.nodes.empty()) {
    TRY_ASSIGN(evaluation_, prepare_one(device, programs_.evaluation));
    TRY(bind(*evaluation_, 0));
    TRY(constants(*evaluation_));
  }
  // What is bound later is bound to something now, lest the first write gives it memory of its own.
  TRY(bind(*training_, 0));
  TRY_ASSIGN(const device::Buffer stand_in, device.allocate(programs_.node_bytes()));
  bind_summed(programs_, *training_, summed_, {&stand_in, 0});
  TRY(constants(*training_));
  const auto& nodes = training_->program().nodes;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (nodes[i].op->name.find("backward") == std::string_view::npos) continue;
    backward_begins_ = static_cast<std::int32_t>(i);
    break;
  }
  return {};
}

Result<void> Proposer::use(std::size_t state) {
  if (state != state_) {
    state_ = state;
    TRY(bind(*training_, state));
    if (evaluation_) TRY(bind(*evaluation_, state, evaluation_of_));
  }
  evaluation_fresh_ = false;
  return training_->refresh();
}

Result<void> Proposer::fill(device::Executable& executable, std::span<const data::Sample> samples, const LossWeights& weights,
                            std::span<const std::vector<float>> row_weights) {
  Inputs in = make_inputs(samples, programs_.rows(), programs_.micro_batch(), weights.next, weights.mtp);
  auto place = in.weights.begin();
  for (const std::vector<float>& of_sample : row_weights) place = std::ranges::copy(of_sample, place).out;
  const auto write = [&](const char* name, const auto& values) -> Result<void> {
    const TensorId id = executable.program().find(name);
    if (id == TensorId::none) return {};
    return executable.write(id, std::as_bytes(std::span(values)));
  };
  TRY(write("ids", in.ids));
  TRY(write("positions", in.positions));
  TRY(write("samples", in.samples));
  TRY(write("labels", in.labels));
  TRY(write("weights", in.weights));
  TRY(write("mtp.ids", in.mtp_ids));
  TRY(write("mtp.labels", in.mtp_labels));
  TRY(write("mtp.weights", in.mtp_weights));
  TRY(write("balance.weight", std::vector<float>{weights.balance}));
  return {};
}

Result<void> Proposer::propose(std::span<const data::Sample> samples, const LossWeights& weights, NodeAt result,
                               const std::function<bool()>& interrupted, const Rows& rows) {
  std::vector<NodeAt> free{result};
  for (const device::Buffer& node : nodes_) free.push_back({&node, 0});
  TreeOfNodes tree(joiner_, std::move(free));
  const auto micro = static_cast<std::size_t>(programs_.micro_batch());
  for (std::size_t begin = 0; begin < samples.size(); begin += micro) {
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    const NodeAt node = tree.take();
    bind_summed(programs_, *training_, summed_, node);
    const std::span<const data::Sample> pass = samples.subspan(begin, std::min(micro, samples.size() - begin));
    TRY(fill(*training_, pass, weights, rows.weights.empty() ? rows.weights : rows.weights.subspan(begin, pass.size())));
    TRY(training_->run());
    if (!rows.logprobs.empty()) TRY(read_logprobs(*training_, pass, rows.logprobs.subspan(begin, pass.size())));
    TRY(tree.add(node));
  }
  TRY_ASSIGN(const NodeAt root, tree.root());
  CHECK(root == result, "the root of a tree of its own nodes lies in the first one");
  return {};
}

Result<std::vector<std::vector<float>>> Proposer::logprobs(std::span<const data::Sample> samples, const std::string& prefix,
                                                           const std::function<bool()>& interrupted) {
  CHECK(evaluation_ != nullptr, "there is no program for evaluation");
  TRY(bind_evaluation(prefix));
  std::vector<std::vector<float>> logprobs(samples.size());
  const auto micro = static_cast<std::size_t>(programs_.micro_batch());
  for (std::size_t begin = 0; begin < samples.size(); begin += micro) {
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    const std::span<const data::Sample> pass = samples.subspan(begin, std::min(micro, samples.size() - begin));
    TRY(fill(*evaluation_, pass, {1.0f, 0.0f, 0.0f}));
    TRY(evaluation_->run());
    TRY(read_logprobs(*evaluation_, pass, std::span(logprobs).subspan(begin, pass.size())));
  }
  return logprobs;
}

Result<void> Proposer::bind_evaluation(const std::string& prefix) {
  if (prefix != evaluation_of_) TRY(bind(*evaluation_, state_, prefix));
  if (prefix != evaluation_of_ || !evaluation_fresh_) TRY(evaluation_->refresh());
  evaluation_of_ = prefix;
  evaluation_fresh_ = true;
  return {};
}

Result<void> Proposer::read_logprobs(device::Executable& executable, std::span<const data::Sample> samples,
                                     std::span<std::vector<float>> logprobs) {
  TRY_ASSIGN(const std::vector<float> all, executable.read<float>(executable.program().find("logprob")));
  std::size_t row = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    logprobs[i].clear();
    for (const std::uint8_t labelled : samples[i].labelled) {
      if (labelled != 0) logprobs[i].push_back(all[row]);
      ++row;
    }
  }
  return {};
}

Result<std::vector<double>> Proposer::evaluate(std::span<const data::Sample> samples) {
  TRY(bind_evaluation(""));
  TRY(fill(*evaluation_, samples, {1.0f, 0.0f, 0.0f}));
  TRY(evaluation_->run());
  TRY_ASSIGN(const std::vector<float> logprobs, evaluation_->read<float>(evaluation_->program().find("logprob")));
  std::vector<double> sums;
  std::size_t row = 0;
  for (const data::Sample& sample : samples) {
    double sum = 0;
    for (std::int64_t t = 0; t < sample.predictions(); ++t) sum -= static_cast<double>(logprobs[row++]);  // unlabelled rows are +0
    sums.push_back(sum);
  }
  return sums;
}

std::vector<const device::Executable*> Proposer::executables() const {
  std::vector<const device::Executable*> all;
  for (const device::Executable* executable : {const_cast<const device::Executable*>(training_.get()), joiner_.executable(),
                                               const_cast<const device::Executable*>(evaluation_.get())}) {
    if (executable != nullptr) all.push_back(executable);
  }
  return all;
}

Result<device::Device::Evidence> Proposer::evidence() {
  return device_->evidence();
}

}  // namespace godwit::train
