#include "program/op_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>

namespace godwit::program {

namespace {

std::size_t at(TensorId id) {
  return static_cast<std::size_t>(id);
}

using Bytes = std::vector<std::byte>;

Bytes widened(const Bytes& bf16) {
  Bytes f32(2 * bf16.size());
  for (std::size_t i = 0; i < bf16.size(); i += 2) std::memcpy(f32.data() + 2 * i + 2, bf16.data() + i, 2);
  return f32;
}

bool contains(const std::vector<TensorId>& ids, TensorId id) {
  return std::ranges::find(ids, id) != ids.end();
}

// The op of the refresh part that makes a tensor; null: none does.
const Node* maker_of(const Program& program, TensorId id) {
  for (std::size_t i = 0; i < program.refresh_count; ++i) {
    if (contains(program.nodes[i].outputs, id)) return &program.nodes[i];
  }
  return nullptr;
}

// Nodes of the refresh part that `node` depends on, in their order.
std::vector<std::size_t> needed_refresh(const Program& whole, const Node& node) {
  std::vector<TensorId> wanted = node.inputs;
  std::vector<std::size_t> needed;
  for (std::size_t i = whole.refresh_count; i-- > 0;) {
    const Node& maker = whole.nodes[i];
    if (std::ranges::none_of(maker.outputs, [&](TensorId output) { return contains(wanted, output); })) continue;
    wanted.insert(wanted.end(), maker.inputs.begin(), maker.inputs.end());
    needed.push_back(i);
  }
  std::ranges::reverse(needed);
  return needed;
}

// What a tensor of the whole program is to a program of one of its nodes.
Role role_alone(const Program& whole, const Node& node, const std::vector<std::size_t>& refresh, TensorId id) {
  const Role role = whole.tensor(id).role;
  if (std::ranges::any_of(refresh, [&](std::size_t i) { return contains(whole.nodes[i].outputs, id); })) return Role::derived;
  if (contains(node.outputs, id)) return role == Role::state ? Role::state : Role::output;
  if (role == Role::constant) return role;
  if (role != Role::state) return Role::input;
  // State that other ops of the main part write is no state to a program that does not see it change.
  const bool changes = std::any_of(whole.nodes.begin() + static_cast<std::ptrdiff_t>(whole.refresh_count), whole.nodes.end(),
                                   [&](const Node& other) { return contains(other.outputs, id); });
  return changes ? Role::input : Role::state;
}

std::string attribute_text(const Attribute& attribute) {
  if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) return fmt::format("{}={}", attribute.name, *integer);
  return fmt::format("{}={:a}", attribute.name, std::get<double>(attribute.value));
}

}  // namespace

std::vector<OpCase::Weight> OpCase::weights_of(const Op& op, const Example& example) {
  if (op.inputs.size() < 2 || op.inputs[1] != "w" || example.inputs[1].shape.rank() < 2) return {Weight::input};
  if (example.inputs[1].dtype == Dtype::f32) return {Weight::input, Weight::state};
  return {Weight::input, Weight::state, Weight::rounded};
}

OpCase OpCase::of(const Op& op, const Example& example, Weight weight, bool rounded) {
  std::vector<TensorType> natural(op.outputs.size());
  Shapes shapes(op, example.inputs, natural, example.attributes);
  op.shapes(shapes);
  Builder builder("one op");
  std::vector<TensorId> inputs, updated;
  for (std::size_t i = 0; i < example.inputs.size(); ++i) {
    const TensorType& type = example.inputs[i];
    const bool is_weight = i == 1 && weight != Weight::input;
    const Dtype held = is_weight && weight == Weight::rounded ? Dtype::f32 : type.dtype;
    const TensorId brought = builder.declare(fmt::format("in{}", i), is_weight ? Role::state : Role::input, held, type.shape);
    inputs.push_back(builder.cast(brought, type.dtype));
  }
  for (std::size_t k = 0; k < op.outputs.size(); ++k) {
    if (std::ranges::find(op.updates, op.outputs[k]) == op.updates.end()) continue;
    updated.push_back(builder.declare(fmt::format("state{}", k), Role::state, natural[k].dtype, natural[k].shape));
  }
  const std::vector<TensorId> outputs = builder.emit(op.name, inputs, example.attributes, updated);
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (builder.program().tensor(outputs[k]).role == Role::temporary) builder.output(outputs[k], fmt::format("out{}", k));
  }
  Program program = hoist_refresh(std::move(builder).finish());
  for (std::size_t k = 0; rounded && k < outputs.size(); ++k) {
    if (std::ranges::find(op.rounds, op.outputs[k]) != op.rounds.end()) program.tensor(outputs[k]).type.dtype = Dtype::bf16;
  }
  return OpCase(std::move(program));
}

OpCase OpCase::alone(const Program& whole, std::size_t index) {
  const Node& node = whole.nodes[index];
  const std::vector<std::size_t> refresh = index < whole.refresh_count ? std::vector<std::size_t>() : needed_refresh(whole, node);
  Program program;
  program.name = whole.name;
  std::map<TensorId, TensorId> placed;
  const auto place = [&](const std::vector<TensorId>& ids) {
    std::vector<TensorId> here;
    for (const TensorId id : ids) {
      const auto [found, is_new] = placed.try_emplace(id, static_cast<TensorId>(program.tensors.size()));
      if (is_new) program.tensors.push_back({whole.tensor(id).name, whole.tensor(id).type, role_alone(whole, node, refresh, id)});
      here.push_back(found->second);
    }
    return here;
  };
  const auto take = [&](const Node& from) {
    Node made{from.op, place(from.inputs), {}, from.attributes};
    made.outputs = place(from.outputs);
    program.nodes.push_back(std::move(made));
  };
  for (const std::size_t i : refresh) take(whole.nodes[i]);
  program.refresh_count = refresh.size();
  take(node);
  return OpCase(std::move(program));
}

std::string OpCase::text() const {
  std::string text(node().op->name);
  const auto say = [&](const std::vector<TensorId>& ids) {
    for (const TensorId id : ids) {
      const Tensor& tensor = program_.tensor(id);
      text += fmt::format(" {}{}", dtype_name(tensor.type.dtype), tensor.type.shape.text());
      if (tensor.role == Role::state) text += " state";
      if (tensor.role == Role::derived) text += " derived";
    }
  };
  say(node().inputs);
  text += " →";
  say(node().outputs);
  return text;
}

std::string OpCase::key() const {
  std::string key;
  for (const Tensor& tensor : program_.tensors) {
    key += fmt::format("{} {}{};", static_cast<int>(tensor.role), dtype_name(tensor.type.dtype), tensor.type.shape.text());
  }
  for (const Node& each : program_.nodes) {
    key += std::string(each.op->name) + "(";
    for (const TensorId id : each.inputs) key += fmt::format("{},", at(id));
    for (const Attribute& attribute : each.attributes) key += attribute_text(attribute) + ",";
    key += ")=";
    for (const TensorId id : each.outputs) key += fmt::format("{},", at(id));
  }
  return key;
}

Cost OpCase::cost() const {
  const std::vector<TensorType> inputs = program_.types(node().inputs), outputs = program_.types(node().outputs);
  return node().op->cost(Instance(*node().op, inputs, outputs, node().attributes));
}

std::vector<Brought> OpCase::fill(Values values, std::uint64_t seed) const {
  const Op& op = *node().op;
  const std::vector<TensorType> types = program_.types(node().inputs), outputs = program_.types(node().outputs);
  std::vector<Bytes> bytes;
  std::vector<void*> data;
  for (const TensorType& type : types) bytes.emplace_back(static_cast<std::size_t>(type.bytes()));
  for (Bytes& each : bytes) data.push_back(each.data());
  Fill fill(op, types, outputs, node().attributes, data, values, seed);
  op.fill != nullptr ? op.fill(fill) : fill.all_reals();

  std::map<TensorId, Bytes> brought;
  for (std::size_t i = 0; i < types.size(); ++i) {
    const TensorId id = node().inputs[i];
    const Node* maker = maker_of(program_, id);
    if (maker == nullptr) {
      brought.try_emplace(id, std::move(bytes[i]));
    } else if (maker->op->name == "cast" && types[i].dtype == Dtype::bf16 && program_.tensor(maker->inputs[0]).type.dtype == Dtype::f32) {
      brought.try_emplace(maker->inputs[0], widened(bytes[i]));
    }
  }
  std::vector<Brought> all;
  for (std::size_t t = 0; t < program_.tensors.size(); ++t) {
    const auto id = static_cast<TensorId>(t);
    const Tensor& tensor = program_.tensors[t];
    if (tensor.role != Role::input && tensor.role != Role::constant && tensor.role != Role::state) continue;
    const auto known = brought.find(id);
    Bytes own = known != brought.end() ? std::move(known->second) : Bytes(static_cast<std::size_t>(tensor.type.bytes()));
    if (known == brought.end() && !contains(node().outputs, id) && tensor.type.dtype == Dtype::f32) {
      // Something that the refresh part makes the input of: ordinary numbers, whatever was asked for.
      const Op& cast = *find_op("cast");
      const TensorType type = tensor.type, made{Dtype::bf16, tensor.type.shape};
      void* to = own.data();
      Fill(cast, {&type, 1}, {&made, 1}, {}, {&to, 1}, Values::ordinary, seed + t).all_reals();
    }
    all.push_back({id, std::move(own)});
  }
  return all;
}

std::vector<Bytes> OpCase::reference(const std::vector<Brought>& brought) const {
  std::vector<Bytes> memory(program_.tensors.size());
  for (std::size_t t = 0; t < memory.size(); ++t) memory[t].resize(static_cast<std::size_t>(program_.tensors[t].type.bytes()));
  for (const Brought& each : brought) memory[at(each.tensor)] = each.bytes;
  std::vector<void*> data;
  for (Bytes& each : memory) data.push_back(each.data());
  run_reference(program_, data, true);
  run_reference(program_, data, false);
  std::vector<Bytes> results;
  for (const TensorId id : node().outputs) results.push_back(memory[at(id)]);
  return results;
}

}  // namespace godwit::program
