// Program → program: the gradient, dead code, the refresh part, recomputation. None changes the bits of an output.
#include <algorithm>
#include <limits>
#include <set>

#include "program/program.h"

namespace godwit::program {

namespace {

std::size_t at(TensorId id) {
  return static_cast<std::size_t>(id);
}

// One use's share of a tensor's gradient, with the place that orders the chain (rule 1.12).
struct Contribution {
  std::size_t node;
  std::size_t input;
  TensorId gradient;
};

}  // namespace

std::vector<TensorId> differentiate(Builder& builder, std::span<const TensorId> parameters) {
  const std::size_t forward_count = builder.program().nodes.size();
  const std::size_t tensor_count = builder.program().tensors.size();
  std::vector<std::vector<Contribution>> contributions(tensor_count);
  std::vector<TensorId> gradients(tensor_count, TensorId::none);

  const auto gradient_of = [&](TensorId id) {
    auto& uses = contributions[at(id)];
    if (gradients[at(id)] != TensorId::none || uses.empty()) return gradients[at(id)];
    std::sort(uses.begin(), uses.end(),
              [](const Contribution& a, const Contribution& b) { return std::pair(a.node, a.input) < std::pair(b.node, b.input); });
    TensorId sum = uses[0].gradient;
    for (std::size_t i = 1; i < uses.size(); ++i) sum = builder.emit1("add", {sum, uses[i].gradient});
    return gradients[at(id)] = sum;
  };

  for (std::size_t i = forward_count; i-- > 0;) {
    const Node node = builder.program().nodes[i];  // a copy: emitting moves the list
    if (node.op->gradient == nullptr) continue;
    std::vector<TensorId> output_gradients;
    bool reached = node.op->loss;
    for (const TensorId id : node.outputs) {
      output_gradients.push_back(gradient_of(id));
      reached |= output_gradients.back() != TensorId::none;
    }
    if (!reached) continue;
    const auto inputs = builder.program().types(node.inputs);
    const auto outputs = builder.program().types(node.outputs);
    const Instance instance(*node.op, inputs, outputs, node.attributes);
    std::vector<TensorId> input_gradients(node.inputs.size(), TensorId::none);
    Gradient gradient(instance, builder, node.inputs, node.outputs, output_gradients, input_gradients);
    node.op->gradient(gradient);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      if (input_gradients[k] == TensorId::none) continue;
      const TensorType& type = builder.type(input_gradients[k]);
      CHECK(type.dtype == Dtype::f32 && type.shape == inputs[k].shape, "op {}: the gradient of {} is {}{}, the input is {}", node.op->name,
            node.op->inputs[std::min(k, node.op->inputs.size() - 1)], dtype_name(type.dtype), type.shape.text(), inputs[k].shape.text());
      contributions[at(node.inputs[k])].push_back({i, k, input_gradients[k]});
    }
  }

  std::vector<TensorId> result;
  for (const TensorId parameter : parameters) {
    const TensorId gradient = gradient_of(parameter);
    if (gradient != TensorId::none) builder.output(gradient, "grad." + builder.program().tensor(parameter).name);
    result.push_back(gradient);
  }
  return result;
}

Program remove_unused(Program program) {
  std::vector<bool> needed(program.tensors.size(), false);
  for (std::size_t i = 0; i < program.tensors.size(); ++i) {
    needed[i] = program.tensors[i].role == Role::output || program.tensors[i].role == Role::state;
  }
  std::vector<Node> kept;
  std::size_t kept_refresh = 0;
  for (std::size_t i = program.nodes.size(); i-- > 0;) {
    Node& node = program.nodes[i];
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](TensorId id) { return needed[at(id)]; })) continue;
    for (const TensorId id : node.inputs) needed[at(id)] = true;
    if (i < program.refresh_count) ++kept_refresh;
    kept.push_back(std::move(node));
  }
  std::reverse(kept.begin(), kept.end());
  program.nodes = std::move(kept);
  program.refresh_count = kept_refresh;
  return program;
}

Program hoist_refresh(Program program) {
  std::vector<bool> steady(program.tensors.size());
  for (std::size_t i = 0; i < steady.size(); ++i) {
    const Role role = program.tensors[i].role;
    steady[i] = role == Role::state || role == Role::constant;
  }
  // State that the program itself updates (caches) is not steady.
  for (const Node& node : program.nodes) {
    for (const TensorId id : node.outputs) steady[at(id)] = false;
  }
  std::vector<Node> refresh, main;
  for (Node& node : program.nodes) {
    const bool from_steady =
        !node.inputs.empty() && std::all_of(node.inputs.begin(), node.inputs.end(), [&](TensorId id) { return steady[at(id)]; });
    const bool to_temporary =
        std::all_of(node.outputs.begin(), node.outputs.end(), [&](TensorId id) { return program.tensor(id).role == Role::temporary; });
    if (!from_steady || !to_temporary) {
      main.push_back(std::move(node));
      continue;
    }
    for (const TensorId id : node.outputs) {
      steady[at(id)] = true;
      program.tensor(id).role = Role::derived;
    }
    refresh.push_back(std::move(node));
  }
  program.refresh_count = refresh.size();
  program.nodes = std::move(refresh);
  std::move(main.begin(), main.end(), std::back_inserter(program.nodes));
  return program;
}

Program fuse_casts(Program program) {
  struct Made {
    std::size_t node = 0;
    std::size_t output = 0;
  };
  std::map<TensorId, Made> producer;
  std::vector<int> uses(program.tensors.size(), 0);
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    for (const TensorId id : program.nodes[i].inputs) ++uses[at(id)];
    for (std::size_t k = 0; k < program.nodes[i].outputs.size(); ++k) producer[program.nodes[i].outputs[k]] = {i, k};
  }
  std::vector<bool> gone(program.nodes.size(), false);
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    const Node& cast = program.nodes[i];
    if (cast.op->name != "cast") continue;
    const TensorId x = cast.inputs[0];
    const TensorId y = cast.outputs[0];
    const auto made = producer.find(x);
    const bool to_bf16 = program.tensor(x).type.dtype == Dtype::f32 && program.tensor(y).type.dtype == Dtype::bf16;
    if (!to_bf16 || made == producer.end() || uses[at(x)] != 1 || program.tensor(x).role != Role::temporary) continue;
    Node& node = program.nodes[made->second.node];
    const auto& rounds = node.op->rounds;
    if (std::find(rounds.begin(), rounds.end(), node.op->outputs[made->second.output]) == rounds.end()) continue;
    node.outputs[made->second.output] = y;
    gone[i] = true;
  }
  std::vector<Node> kept;
  for (std::size_t i = 0; i < program.nodes.size(); ++i) {
    if (!gone[i]) kept.push_back(std::move(program.nodes[i]));
  }
  program.nodes = std::move(kept);
  return program;
}

Program recompute(Program program, std::size_t forward_count, RecomputeOptions options) {
  // A forward result is dropped if it is cheap to make again from tensors that stay; its producer is then cloned before the first backward
  // use.
  std::vector<std::size_t> producer(program.tensors.size(), std::numeric_limits<std::size_t>::max());
  for (std::size_t i = 0; i < forward_count; ++i) {
    for (const TensorId id : program.nodes[i].outputs) producer[at(id)] = i;
  }
  std::vector<bool> used_forward_only(program.tensors.size(), true);
  for (std::size_t i = forward_count; i < program.nodes.size(); ++i) {
    for (const TensorId id : program.nodes[i].inputs) used_forward_only[at(id)] = false;
  }
  const auto cheap = [&](std::size_t i) {
    const Node& node = program.nodes[i];
    if (node.op->loss || !node.op->updates.empty()) return false;
    std::int64_t bytes = 0;
    for (const TensorId id : node.outputs) {
      if (program.tensor(id).role != Role::temporary) return false;
      bytes += program.tensor(id).type.bytes();
    }
    if (bytes < options.bytes_min || bytes == 0) return false;
    // Its inputs must stay anyway, or the drop would only move the memory.
    for (const TensorId id : node.inputs) {
      if (program.tensor(id).role == Role::temporary && used_forward_only[at(id)]) return false;
    }
    const auto inputs = program.types(node.inputs);
    const auto outputs = program.types(node.outputs);
    return node.op->cost(Instance(*node.op, inputs, outputs, node.attributes)).flops <=
           options.flops_per_byte_max * static_cast<double>(bytes);
  };
  std::set<std::size_t> dropped;
  for (std::size_t i = 0; i < forward_count; ++i) {
    const bool used_backward = std::any_of(program.nodes[i].outputs.begin(), program.nodes[i].outputs.end(),
                                           [&](TensorId id) { return !used_forward_only[at(id)]; });
    if (!used_backward || !cheap(i)) continue;
    // Chains are not dropped whole: an input that is itself dropped would have to be made again first.
    const bool input_dropped = std::any_of(program.nodes[i].inputs.begin(), program.nodes[i].inputs.end(), [&](TensorId id) {
      return producer[at(id)] != std::numeric_limits<std::size_t>::max() && dropped.contains(producer[at(id)]);
    });
    if (!input_dropped) dropped.insert(i);
  }

  std::vector<Node> nodes(program.nodes.begin(), program.nodes.begin() + static_cast<std::ptrdiff_t>(forward_count));
  std::map<TensorId, TensorId> again;
  for (std::size_t i = forward_count; i < program.nodes.size(); ++i) {
    Node node = program.nodes[i];
    for (TensorId& id : node.inputs) {
      const std::size_t made_by = producer[at(id)];
      if (made_by == std::numeric_limits<std::size_t>::max() || !dropped.contains(made_by)) continue;
      if (!again.contains(id)) {
        Node clone = program.nodes[made_by];
        for (TensorId& out : clone.outputs) {
          Tensor copy = program.tensor(out);
          copy.name += "~again";
          program.tensors.push_back(std::move(copy));
          const TensorId fresh = static_cast<TensorId>(program.tensors.size() - 1);
          again.emplace(out, fresh);
          out = fresh;
        }
        nodes.push_back(std::move(clone));
      }
      id = again.at(id);
    }
    nodes.push_back(std::move(node));
  }
  program.nodes = std::move(nodes);
  return program;
}

}  // namespace godwit::program
