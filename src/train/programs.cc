#include "train/programs.h"

#include <algorithm>
#include <bit>

namespace godwit::train {

namespace {

using model::Parameter;
using program::Builder;
using program::Dtype;
using program::Program;
using program::Role;
using program::Shape;
using program::TensorId;

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

Programs::Programs(const model::Model& model, const Settings& settings, std::int64_t predictions_max, bool evaluates)
    : model_(model), settings_(settings), rows_(predictions_max * settings.run.micro_batch) {
  const bool mtp = model.has_mtp() && settings.optimizer.mtp_loss > 0;
  const bool balance = settings.optimizer.balance_loss > 0 && model.moe_layers() > 0;
  const model::Batch batch{rows_, settings.run.micro_batch, settings.run.dtype};
  training = model.training(batch, {.gradients = true, .mtp = mtp, .balance_loss = balance, .recompute = settings.run.recompute});
  if (evaluates) evaluation = model.training(batch, {.gradients = false});
  join = make_join(training);
  norm = make_norm(training, model, settings.optimizer.clip);
  update = make_update(training, model, settings.optimizer);
  for (const program::Tensor& tensor : training.tensors) {
    if (!is_sum(tensor)) continue;
    summed_.push_back({tensor.name, node_bytes_});
    node_bytes_ += device::aligned(tensor.type.bytes());
  }
}

std::size_t Programs::nodes_of(std::int64_t samples) const {
  const std::int64_t passes = (samples + micro_batch() - 1) / micro_batch();
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(passes)));
}

LossWeights Programs::weights(const LabelCounts& counts, std::int64_t samples) const {
  LossWeights weights;
  if (counts.next > 0) weights.next = 1.0f / static_cast<float>(counts.next);
  if (counts.mtp > 0) weights.mtp = static_cast<float>(settings_.optimizer.mtp_loss) / static_cast<float>(counts.mtp);
  weights.balance = static_cast<float>(settings_.optimizer.balance_loss) / static_cast<float>(samples);
  return weights;
}

Proposal Programs::read(const std::byte* node, std::int64_t predictions) const {
  Proposal proposal;
  proposal.predictions = predictions;
  const float mtp_loss = static_cast<float>(settings_.optimizer.mtp_loss);
  std::vector<std::pair<std::string, const std::int32_t*>> counts;
  for (const Summed& summed : summed_) {
    const std::byte* at = node + summed.offset;
    const float value = *reinterpret_cast<const float*>(at);
    if (summed.name == "loss") proposal.loss = value;
    if (summed.name == "mtp.loss" && mtp_loss > 0) proposal.mtp_loss = value / mtp_loss;
    if (summed.name == "balance.loss") proposal.balance_loss = value;
    if (summed.name.starts_with("counts.")) counts.emplace_back(summed.name, reinterpret_cast<const std::int32_t*>(at));
  }
  for (std::int64_t layer = 0; layer < model_.moe_layers(); ++layer) {
    const auto place = std::ranges::find(counts, fmt::format("counts.{}", layer), &decltype(counts)::value_type::first);
    if (place != counts.end()) proposal.expert_counts.emplace_back(place->second, place->second + model_.experts());
  }
  return proposal;
}

Figures Programs::figures() const {
  Figures f;
  const std::int64_t passes = (settings_.run.batch + settings_.run.micro_batch - 1) / settings_.run.micro_batch;
  const program::Cost pass = training.cost();
  const program::Cost joining = join.cost();
  const program::Cost norming = norm.cost();
  const program::Cost updating = update.cost();
  f.flops_per_step =
      pass.flops * static_cast<double>(passes) + joining.flops * static_cast<double>(passes - 1) + norming.flops + updating.flops;
  f.bytes_per_step =
      pass.bytes * static_cast<double>(passes) + joining.bytes * static_cast<double>(passes - 1) + norming.bytes + updating.bytes;
  for (const Program* p : {&training, &evaluation, &norm, &update}) {
    const program::MemoryPlan plan = program::plan_memory(*p);
    f.arena_bytes = std::max(f.arena_bytes, plan.arena_bytes);
    f.persistent_bytes += plan.persistent_bytes;
    for (const program::Tensor& tensor : p->tensors) {
      const bool own =
          tensor.role == Role::constant || (tensor.role == Role::input && !tensor.name.starts_with("grad.")) || tensor.name == "logprob";
      if (own) f.bound_bytes += device::aligned(tensor.type.bytes());
    }
  }
  f.gradient_bytes = node_bytes_ * static_cast<std::int64_t>(nodes_of(settings_.run.batch));
  return f;
}

std::string Programs::describe() const {
  std::string text;
  for (const Program* p : {&training, &evaluation, &join, &norm, &update}) {
    if (p->nodes.empty()) continue;
    const program::MemoryPlan plan = program::plan_memory(*p);
    text += fmt::format("program     {:<14} {:>5} ops, {:.3f} TFLOP, {:.3f} GB moved, arena {:.1f} MiB\n", p->name, p->nodes.size(),
                        p->cost().flops / 1e12, p->cost().bytes / 1e9, static_cast<double>(plan.arena_bytes) / (1 << 20));
  }
  return text;
}

std::vector<program::TensorId> find_summed(const Programs& programs, const program::Program& program, const std::string& prefix) {
  std::vector<program::TensorId> ids;
  for (const Programs::Summed& summed : programs.summed()) ids.push_back(program.find(prefix + summed.name));
  return ids;
}

}  // namespace godwit::train
