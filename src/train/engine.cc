#include "train/engine.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/math.h"
#include "train/batch.h"

namespace godwit::train {

namespace {

using model::Parameter;
using program::Builder;
using program::Dtype;
using program::Program;
using program::Role;
using program::Shape;
using program::TensorId;

std::int64_t aligned(std::int64_t bytes) {
  return (bytes + GODWIT_ALIGNMENT - 1) / GODWIT_ALIGNMENT * GODWIT_ALIGNMENT;
}

// Outputs of a pass that are sums over samples: gradients, losses, expert counts. `logprob` is by row and is not.
bool is_sum(const program::Tensor& tensor) {
  return tensor.role == Role::output && tensor.name != "logprob" && tensor.name != "logits";
}

// a + b for every tensor of the node layout.
Program make_join(const Program& training) {
  Builder b("join");
  for (const program::Tensor& tensor : training.tensors) {
    if (!is_sum(tensor)) continue;
    const TensorId earlier = b.declare("earlier." + tensor.name, Role::input, tensor.type.dtype, tensor.type.shape);
    const TensorId later = b.declare("later." + tensor.name, Role::input, tensor.type.dtype, tensor.type.shape);
    b.output(b.emit1("add", {earlier, later}), tensor.name);
  }
  return std::move(b).finish();
}

// Global norm and clip scale, tensors in state-list order.
Program make_norm(const Program& training, const model::Model& model, double clip) {
  Builder b("gradient_norm");
  std::vector<TensorId> sums;
  for (const Parameter& p : model.parameters()) {
    if (training.find("grad." + p.name) == TensorId::none) continue;
    sums.push_back(b.emit1("sum_of_squares", {b.declare("grad." + p.name, Role::input, Dtype::f32, p.shape)}));
  }
  const auto norm = b.emit("global_norm", sums, {{"clip", clip}});
  b.output(norm[0], "norm");
  b.output(norm[1], "scale");
  return std::move(b).finish();
}

// AdamW for every tensor that has a gradient, and the router biases.
Program make_update(const Program& training, const model::Model& model, const OptimizerSettings& o) {
  Builder b("update");
  const auto scalar = [&](const char* name) { return b.declare(name, Role::input, Dtype::f32, {1}); };
  const TensorId scale = scalar("scale"), lr = scalar("lr"), c1 = scalar("c1"), c2 = scalar("c2"), speed = scalar("router_bias_speed");
  std::int64_t moe_layer = 0;
  for (const Parameter& p : model.parameters()) {
    const auto state = [&](const std::string& name) { return b.declare(name, Role::state, Dtype::f32, p.shape); };
    if (p.kind == Parameter::Kind::router_bias) {
      const std::string counts = fmt::format("counts.{}", moe_layer++);
      if (o.router_bias_speed == 0 || training.find(counts) == TensorId::none) continue;
      const TensorId load = b.declare(counts, Role::input, Dtype::i32, p.shape);
      b.output(b.emit1("router_bias_update", {state(p.name), load, speed}), "next." + p.name);
      continue;
    }
    if (training.find("grad." + p.name) == TensorId::none) continue;
    const TensorId gradient = b.declare("grad." + p.name, Role::input, Dtype::f32, p.shape);
    const double decay = p.matrix || !o.decay_matrices_only ? o.weight_decay : 0.0;
    const auto next = b.emit("adamw", {state(p.name), state("adam.m." + p.name), state("adam.v." + p.name), gradient, scale, lr, c1, c2},
                             {{"beta1", o.beta1}, {"beta2", o.beta2}, {"eps", o.eps}, {"decay", decay}});
    b.output(next[0], "next." + p.name);
    b.output(next[1], "next.adam.m." + p.name);
    b.output(next[2], "next.adam.v." + p.name);
  }
  return std::move(b).finish();
}

}  // namespace

Engine::Engine(const model::Model& model, const Settings& settings, std::int64_t predictions_max, bool evaluates)
    : model_(model), settings_(settings), rows_(predictions_max * settings.run.micro_batch) {
  mtp_ = model.has_mtp() && settings.optimizer.mtp_loss > 0;
  balance_ = settings.optimizer.balance_loss > 0 && model.moe_layers() > 0;
  const model::Batch batch{rows_, settings.run.micro_batch, settings.run.dtype};
  training_program_ =
      model.training(batch, {.gradients = true, .mtp = mtp_, .balance_loss = balance_, .recompute = settings.run.recompute});
  if (evaluates) evaluation_program_ = model.training(batch, {.gradients = false});
  join_program_ = make_join(training_program_);
  norm_program_ = make_norm(training_program_, model, settings.optimizer.clip);
  update_program_ = make_update(training_program_, model, settings.optimizer);
  for (const program::Tensor& tensor : training_program_.tensors) {
    if (!is_sum(tensor)) continue;
    gradient_layout_.emplace_back(tensor.name, node_bytes_);
    node_bytes_ += aligned(tensor.type.bytes());
  }
}

Figures Engine::figures() const {
  Figures f;
  const std::int64_t passes = (settings_.run.batch + settings_.run.micro_batch - 1) / settings_.run.micro_batch;
  const program::Cost pass = training_program_.cost();
  const program::Cost join = join_program_.cost();
  const program::Cost norm = norm_program_.cost();
  const program::Cost update = update_program_.cost();
  f.flops_per_step = pass.flops * static_cast<double>(passes) + join.flops * static_cast<double>(passes - 1) + norm.flops + update.flops;
  f.bytes_per_step = pass.bytes * static_cast<double>(passes) + join.bytes * static_cast<double>(passes - 1) + norm.bytes + update.bytes;
  for (const Program* p : {&training_program_, &evaluation_program_, &norm_program_, &update_program_}) {
    const program::MemoryPlan plan = program::plan_memory(*p);
    f.arena_bytes = std::max(f.arena_bytes, plan.arena_bytes);
    f.persistent_bytes += plan.persistent_bytes;
    for (const program::Tensor& tensor : p->tensors) {
      const bool own =
          tensor.role == Role::constant || (tensor.role == Role::input && !tensor.name.starts_with("grad.")) || tensor.name == "logprob";
      if (own) f.bound_bytes += aligned(tensor.type.bytes());
    }
  }
  f.state_bytes = State::bytes(model_);
  f.backend_bytes = backend_bytes_;
  f.gradient_bytes = node_bytes_ * static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(passes)));
  return f;
}

std::string Engine::describe() const {
  std::string text;
  for (const Program* p : {&training_program_, &evaluation_program_, &join_program_, &norm_program_, &update_program_}) {
    if (p->nodes.empty()) continue;
    const program::MemoryPlan plan = program::plan_memory(*p);
    text += fmt::format("program     {:<14} {:>5} ops, {:.3f} TFLOP, {:.3f} GB moved, arena {:.1f} MiB\n", p->name, p->nodes.size(),
                        p->cost().flops / 1e12, p->cost().bytes / 1e9, static_cast<double>(plan.arena_bytes) / (1 << 20));
  }
  return text;
}

Result<void> Engine::prepare(device::Device& device, State& state) {
  state_ = &state;
  const auto prepare_one = [&](const Program& program, std::unique_ptr<device::Executable>& executable) -> Result<void> {
    TRY_ASSIGN(device::Executable made, device.prepare(program));
    executable = std::make_unique<device::Executable>(std::move(made));
    // Weights and moments lie in the state, also where they are written.
    for (std::size_t i = 0; i < model_.parameters().size(); ++i) {
      const std::string& name = model_.parameters()[i].name;
      const State::Place& place = state.places()[i];
      for (const auto& [tensor, offset] :
           {std::pair{name, place.weight}, std::pair{"adam.m." + name, place.m}, std::pair{"adam.v." + name, place.v}}) {
        for (const std::string& alias : {tensor, "next." + tensor}) {
          const TensorId id = executable->program().find(alias);
          if (id != TensorId::none) executable->bind(id, state.buffer(), offset);
        }
      }
    }
    for (const model::Constant& constant : model_.constants(executable->program())) {
      const TensorId id = executable->program().find(constant.name);
      TRY(executable->write(id, std::span<const float>(constant.values)));
    }
    return {};
  };
  const std::int64_t passes = (settings_.run.batch + settings_.run.micro_batch - 1) / settings_.run.micro_batch;
  nodes_.clear();
  for (int i = 0; i < static_cast<int>(std::bit_width(static_cast<std::uint64_t>(passes))); ++i) {
    Node node;
    TRY_ASSIGN(node.buffer, device.allocate(node_bytes_));
    nodes_.push_back(std::move(node));
  }
  // Outputs that are summed lie in nodes; bind them before the first write allocates what is left.
  TRY(prepare_one(Program(norm_program_), norm_));
  TRY(prepare_one(Program(update_program_), update_));
  TRY_ASSIGN(device::Executable training, device.prepare(training_program_));
  training_ = std::make_unique<device::Executable>(std::move(training));
  for (const auto& [name, offset] : gradient_layout_) {
    training_->bind(training_->program().find(name), nodes_[0].buffer, offset);
    for (auto* executable : {norm_.get(), update_.get()}) {
      const TensorId id = executable->program().find(name);
      if (id != TensorId::none) executable->bind(id, nodes_[0].buffer, offset);
    }
  }
  for (std::size_t i = 0; i < model_.parameters().size(); ++i) {
    const TensorId id = training_->program().find(model_.parameters()[i].name);
    if (id != TensorId::none) training_->bind(id, state.buffer(), state.places()[i].weight);
  }
  for (const model::Constant& constant : model_.constants(training_->program())) {
    TRY(training_->write(training_->program().find(constant.name), std::span<const float>(constant.values)));
  }
  if (nodes_.size() > 1) TRY(prepare_one(Program(join_program_), join_));
  if (!evaluation_program_.nodes.empty()) TRY(prepare_one(Program(evaluation_program_), evaluation_));
  std::int64_t workspace = 0;
  backend_bytes_ = 0;
  for (const device::Executable* executable : executables()) {
    TRY_ASSIGN(const device::Executable::Held held, executable->held());
    backend_bytes_ += held.private_bytes;
    workspace = std::max(workspace, held.workspace_bytes);
  }
  backend_bytes_ += workspace;
  return {};
}

std::vector<const device::Executable*> Engine::executables() const {
  std::vector<const device::Executable*> all;
  for (const auto* executable : {&training_, &join_, &norm_, &update_, &evaluation_}) {
    if (*executable) all.push_back(executable->get());
  }
  return all;
}

Result<void> Engine::state_changed() {
  evaluation_fresh_ = false;
  return training_->refresh();
}

Result<void> Engine::fill(device::Executable& executable, std::span<const data::Sample> samples, float weight, float mtp_weight,
                          float balance_weight) {
  const Inputs in = make_inputs(samples, rows_, settings_.run.micro_batch, weight, mtp_weight);
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
  TRY(write("balance.weight", std::vector<float>{balance_weight}));
  return {};
}

Result<void> Engine::join(Node& earlier, const Node& later) {
  for (const auto& [name, offset] : gradient_layout_) {
    join_->bind(join_->program().find("earlier." + name), earlier.buffer, offset);
    join_->bind(join_->program().find("later." + name), later.buffer, offset);
    join_->bind(join_->program().find(name), earlier.buffer, offset);
  }
  return join_->run();
}

Result<Proposal> Engine::propose(std::span<const data::Sample> samples, const std::function<bool()>& interrupted) {
  const LabelCounts counts = count_labels(samples);
  Proposal proposal;
  proposal.predictions = counts.next;
  if (counts.next == 0) return world_error("a batch of {} samples has no labelled prediction", samples.size());
  const float weight = 1.0f / static_cast<float>(counts.next);
  const float mtp_loss = static_cast<float>(settings_.optimizer.mtp_loss);
  const float mtp_weight = counts.mtp > 0 ? mtp_loss / static_cast<float>(counts.mtp) : 0.0f;
  const float balance_weight = static_cast<float>(settings_.optimizer.balance_loss) / static_cast<float>(samples.size());

  struct Entry {
    std::size_t node;
    int level;
  };
  std::vector<Entry> stack;
  for (Node& node : nodes_) node.used = false;
  const auto micro = static_cast<std::size_t>(settings_.run.micro_batch);
  for (std::size_t begin = 0; begin < samples.size(); begin += micro) {
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    const auto free = std::find_if(nodes_.begin(), nodes_.end(), [](const Node& node) { return !node.used; });
    CHECK(free != nodes_.end(), "the binary counter of gradients is deeper than planned");
    free->used = true;
    Entry entry{static_cast<std::size_t>(free - nodes_.begin()), 0};
    for (const auto& [name, offset] : gradient_layout_) training_->bind(training_->program().find(name), free->buffer, offset);
    TRY(fill(*training_, samples.subspan(begin, std::min(micro, samples.size() - begin)), weight, mtp_weight, balance_weight));
    TRY(training_->run());
    while (!stack.empty() && stack.back().level == entry.level) {
      TRY(join(nodes_[stack.back().node], nodes_[entry.node]));
      nodes_[entry.node].used = false;
      entry = {stack.back().node, entry.level + 1};
      stack.pop_back();
    }
    stack.push_back(entry);
  }
  while (stack.size() > 1) {
    const std::size_t later = stack.back().node;
    stack.pop_back();
    TRY(join(nodes_[stack.back().node], nodes_[later]));
  }
  root_ = stack.back().node;

  for (const auto& [name, offset] : gradient_layout_) {
    for (auto* executable : {norm_.get(), update_.get()}) {
      const TensorId id = executable->program().find(name);
      if (id != TensorId::none) executable->bind(id, nodes_[root_].buffer, offset);
    }
    const std::byte* at = nodes_[root_].buffer.host() + offset;
    if (name == "loss") proposal.loss = *reinterpret_cast<const float*>(at);
    if (name == "mtp.loss" && mtp_loss > 0) proposal.mtp_loss = *reinterpret_cast<const float*>(at) / mtp_loss;
    if (name == "balance.loss") proposal.balance_loss = *reinterpret_cast<const float*>(at);
  }
  for (std::int64_t layer = 0; layer < model_.moe_layers(); ++layer) {
    const std::string name = fmt::format("counts.{}", layer);
    const auto place =
        std::find_if(gradient_layout_.begin(), gradient_layout_.end(), [&](const auto& entry) { return entry.first == name; });
    if (place == gradient_layout_.end()) continue;
    const auto* values = reinterpret_cast<const std::int32_t*>(nodes_[root_].buffer.host() + place->second);
    proposal.expert_counts.emplace_back(values, values + model_.experts());
  }
  return proposal;
}

Result<float> Engine::gradient_norm() {
  TRY(norm_->run());
  TRY_ASSIGN(const std::vector<float> norm, norm_->read<float>(norm_->program().find("norm")));
  norm_value_ = norm[0];
  return norm[0];
}

Result<std::vector<float>> Engine::read_gradient(const std::string& parameter) const {
  const std::string name = "grad." + parameter;
  for (const auto& [tensor, offset] : gradient_layout_) {
    if (tensor != name) continue;
    const auto count = static_cast<std::size_t>(training_program_.tensor(training_program_.find(name)).type.shape.count());
    const auto* values = reinterpret_cast<const float*>(nodes_[root_].buffer.host() + offset);
    return std::vector<float>(values, values + count);
  }
  return world_error("the parameter {} has no gradient", parameter);
}

Result<Applied> Engine::apply() {
  TRY_ASSIGN(const std::vector<float> scale, norm_->read<float>(norm_->program().find("scale")));
  const std::uint64_t t = state_->scalars.step + 1;
  const OptimizerSettings& o = settings_.optimizer;
  Applied applied;
  applied.gradient_norm = norm_value_;
  applied.lr = learning_rate(o.schedule, static_cast<std::int64_t>(state_->scalars.step));
  const auto write = [&](const char* name, float value) {
    return update_->write(update_->program().find(name), std::span<const float>(&value, 1));
  };
  TRY(write("scale", scale[0]));
  TRY(write("lr", applied.lr));
  TRY(write("c1", static_cast<float>(1.0 - math::power(o.beta1, t))));
  TRY(write("c2", static_cast<float>(1.0 - math::power(o.beta2, t))));
  TRY(write("router_bias_speed", static_cast<float>(o.router_bias_speed)));
  TRY(update_->run());
  TRY(state_changed());
  return applied;
}

Result<Engine::Evaluation> Engine::evaluate(const data::Dataset& dataset, const std::function<bool()>& interrupted) {
  Evaluation result;
  double sum = 0;
  const TensorId logprob = evaluation_->program().find("logprob");
  if (!evaluation_fresh_) TRY(evaluation_->refresh());
  evaluation_fresh_ = true;
  std::vector<data::Sample> samples;
  for (std::int64_t i = 0; i < dataset.validation_count(); ++i) {
    TRY_ASSIGN(data::Sample sample, dataset.validation(i));
    samples.push_back(std::move(sample));
    if (static_cast<std::int64_t>(samples.size()) < settings_.run.micro_batch && i + 1 < dataset.validation_count()) continue;
    if (interrupted()) return Error{ErrorKind::stopped, "stopped on request"};
    TRY(fill(*evaluation_, samples, 1.0f, 0.0f, 0.0f));
    TRY(evaluation_->run());
    TRY_ASSIGN(const std::vector<float> values, evaluation_->read<float>(logprob));
    for (const float value : values) sum += static_cast<double>(value);  // unlabelled rows are +0
    result.predictions += count_labels(samples).next;
    samples.clear();
  }
  result.loss = result.predictions > 0 ? -sum / static_cast<double>(result.predictions) : 0.0;
  return result;
}

}  // namespace godwit::train
