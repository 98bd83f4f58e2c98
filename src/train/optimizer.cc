#include "train/optimizer.h"

#include "base/math.h"

namespace godwit::train {

using program::TensorId;

Result<void> Optimizer::prepare(device::Device& device, std::span<State* const> states) {
  states_.assign(states.begin(), states.end());
  TRY_ASSIGN(device::Executable norm, device.prepare(programs_.norm));
  norm_ = std::make_unique<device::Executable>(std::move(norm));
  TRY_ASSIGN(device::Executable update, device.prepare(programs_.update));
  update_ = std::make_unique<device::Executable>(std::move(update));
  norm_summed_ = find_summed(programs_, norm_->program());
  update_summed_ = find_summed(programs_, update_->program());
  for (std::size_t i = 0; i < programs_.model().parameters().size(); ++i) {
    const std::string& name = programs_.model().parameters()[i].name;
    const StateLayout::Place& place = states_[0]->places()[i];
    for (const auto& [tensor, offset] :
         {std::pair{name, place.weight}, std::pair{"adam.m." + name, place.m}, std::pair{"adam.v." + name, place.v}}) {
      const TensorId id = update_->program().find(tensor);
      if (id != TensorId::none) bound_.push_back({id, update_->program().find("next." + tensor), offset});
    }
  }
  return {};
}

Result<float> Optimizer::norm(NodeAt node, float mean) {
  bind_summed(programs_, *norm_, norm_summed_, node);
  TRY(norm_->run());
  TRY_ASSIGN(const std::vector<float> norm, norm_->read<float>(norm_->program().find("norm")));
  norm_value_ = norm[0];
  mean_ = mean;
  if (mean != 1) norm_value_ = norm[0] * mean;
  return norm_value_;
}

Result<float> Optimizer::scale() {
  if (mean_ == 1) {
    TRY_ASSIGN(const std::vector<float> scale, norm_->read<float>(norm_->program().find("scale")));
    return scale[0];
  }
  // The op global_norm's rule, on the norm of the mean.
  const auto clip = static_cast<float>(programs_.settings().optimizer.clip);
  const float part = clip / norm_value_;
  return clip > 0 && (part < 1 || part != part) ? part * mean_ : mean_;
}

Result<Applied> Optimizer::apply(std::size_t from, std::size_t to, NodeAt node) {
  TRY_ASSIGN(const float factor, scale());
  for (const Bound& bound : bound_) {
    update_->bind(bound.from, states_[from]->buffer(), bound.offset);
    if (bound.to != TensorId::none) update_->bind(bound.to, states_[to]->buffer(), bound.offset);
  }
  bind_summed(programs_, *update_, update_summed_, node);
  const std::uint64_t step = states_[from]->scalars().step;
  const OptimizerSettings& o = programs_.settings().optimizer;
  Applied applied;
  applied.gradient_norm = norm_value_;
  applied.lr = learning_rate(o.schedule, static_cast<std::int64_t>(step));
  const auto write = [&](const char* name, float value) {
    return update_->write(update_->program().find(name), std::span<const float>(&value, 1));
  };
  TRY(write("scale", factor));
  TRY(write("lr", applied.lr));
  TRY(write("c1", static_cast<float>(1.0 - math::power(o.beta1, step + 1))));
  TRY(write("c2", static_cast<float>(1.0 - math::power(o.beta2, step + 1))));
  TRY(write("router_bias_speed", static_cast<float>(o.router_bias_speed)));
  TRY(update_->run());
  return applied;
}

}  // namespace godwit::train
