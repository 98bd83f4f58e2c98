#include "program/program.h"

#include <algorithm>

#include "base/math.h"

namespace godwit::program {

TensorId Program::find(std::string_view tensor_name) const {
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].name == tensor_name) return static_cast<TensorId>(i);
  }
  return TensorId::none;
}

std::vector<TensorType> Program::types(std::span<const TensorId> ids) const {
  std::vector<TensorType> result;
  result.reserve(ids.size());
  for (const TensorId id : ids) result.push_back(tensor(id).type);
  return result;
}

Cost Program::cost() const {
  Cost total;
  for (std::size_t i = refresh_count; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    const auto inputs = types(node.inputs);
    const auto outputs = types(node.outputs);
    const Cost cost = node.op->cost(Instance(*node.op, inputs, outputs, node.attributes));
    total.flops += cost.flops;
    total.bytes += cost.bytes;
  }
  return total;
}

std::string Program::text() const {
  std::string result;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    if (i == refresh_count) result += "main:\n";
    std::string line = "  ";
    for (std::size_t k = 0; k < node.outputs.size(); ++k) {
      const Tensor& out = tensor(node.outputs[k]);
      line += fmt::format("{}{} {}{}", k ? ", " : "", out.name, dtype_name(out.type.dtype), out.type.shape.text());
    }
    line += fmt::format(" = {}(", node.op->name);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) line += (k ? ", " : "") + tensor(node.inputs[k]).name;
    line += ")";
    for (const Attribute& attribute : node.attributes) {
      if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
        line += fmt::format(" {}={}", attribute.name, *integer);
      } else {
        line += fmt::format(" {}={}", attribute.name, std::get<double>(attribute.value));
      }
    }
    result += line + "\n";
  }
  return result;
}

TensorId Builder::declare(std::string name, Role role, Dtype dtype, const Shape& shape) {
  CHECK(role != Role::temporary && role != Role::derived, "declare {}: only ops make temporaries", name);
  CHECK(name_counts_.emplace(name, 0).second, "the program {} already has a tensor named {}", program_.name, name);
  program_.tensors.push_back({std::move(name), {dtype, shape}, role});
  return static_cast<TensorId>(program_.tensors.size() - 1);
}

std::vector<TensorId> Builder::emit(std::string_view op_name, std::vector<TensorId> inputs, Attributes attributes,
                                    std::vector<TensorId> updated) {
  const Op* op = find_op(op_name);
  CHECK(op != nullptr, "there is no op named {}", op_name);
  CHECK(op->variadic ? inputs.size() >= op->inputs.size() : inputs.size() == op->inputs.size(), "op {} takes {} inputs, got {}", op_name,
        op->inputs.size(), inputs.size());
  for (const TensorId id : inputs) CHECK(id != TensorId::none, "op {}: an input is no tensor", op_name);
  CHECK(attributes.size() == op->attributes.size(), "op {} takes {} attributes, got {}", op_name, op->attributes.size(), attributes.size());
  for (const std::string_view wanted : op->attributes) {
    CHECK(std::any_of(attributes.begin(), attributes.end(), [&](const Attribute& a) { return a.name == wanted; }),
          "op {} needs the attribute {}", op_name, wanted);
  }
  CHECK(updated.size() == op->updates.size(), "op {} updates {} tensors, got {}", op_name, op->updates.size(), updated.size());

  const auto input_types = program_.types(inputs);
  std::vector<TensorType> output_types(op->outputs.size());
  Shapes shapes(*op, input_types, output_types, attributes);
  op->shapes(shapes);

  Node node{op, std::move(inputs), {}, std::move(attributes)};
  for (std::size_t k = 0; k < op->outputs.size(); ++k) {
    const auto update = std::find(op->updates.begin(), op->updates.end(), op->outputs[k]);
    if (update != op->updates.end()) {
      const TensorId id = updated[static_cast<std::size_t>(update - op->updates.begin())];
      CHECK(type(id) == output_types[k], "op {}: {} has shape {}, the op updates {}", op_name, program_.tensor(id).name,
            type(id).shape.text(), output_types[k].shape.text());
      node.outputs.push_back(id);
      continue;
    }
    std::string name = scope_ + std::string(op_name) + (op->outputs.size() > 1 ? "." + std::string(op->outputs[k]) : "");
    const int number = name_counts_[name]++;
    if (number > 0) {
      name += "#" + std::to_string(number);
      name_counts_.emplace(name, 0);
    }
    program_.tensors.push_back({std::move(name), output_types[k], Role::temporary});
    node.outputs.push_back(static_cast<TensorId>(program_.tensors.size() - 1));
  }
  program_.nodes.push_back(std::move(node));
  return program_.nodes.back().outputs;
}

TensorId Builder::emit1(std::string_view op, std::vector<TensorId> inputs, Attributes attributes) {
  const auto outputs = emit(op, std::move(inputs), std::move(attributes));
  CHECK(outputs.size() == 1, "op {} has {} outputs", op, outputs.size());
  return outputs[0];
}

TensorId Builder::cast(TensorId x, Dtype dtype) {
  if (type(x).dtype == dtype) return x;
  const auto known = casts_.find({x, dtype});
  if (known != casts_.end()) return known->second;
  const TensorId y = emit1("cast", {x}, {{"to", std::int64_t{dtype == Dtype::bf16 ? 1 : 0}}});
  casts_.emplace(std::pair{x, dtype}, y);
  return y;
}

void Builder::output(TensorId id, std::string name) {
  Tensor& tensor = program_.tensor(id);
  CHECK(tensor.role == Role::temporary, "{} cannot become the output {}: it is not a temporary", tensor.name, name);
  CHECK(name_counts_.emplace(name, 0).second, "the program {} already has a tensor named {}", program_.name, name);
  tensor.name = std::move(name);
  tensor.role = Role::output;
}

void run_op(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs, const Attributes& attributes,
            std::span<const void* const> input_data, std::span<void* const> output_data) {
  std::vector<TensorType> natural(outputs.size());
  Shapes shapes(op, inputs, natural, attributes);
  op.shapes(shapes);
  std::vector<std::vector<float>> unrounded(outputs.size());
  std::vector<void*> data(output_data.begin(), output_data.end());
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    if (outputs[k] == natural[k]) continue;
    const bool may = std::find(op.rounds.begin(), op.rounds.end(), op.outputs[k]) != op.rounds.end();
    CHECK(may && outputs[k].dtype == Dtype::bf16 && natural[k].dtype == Dtype::f32 && outputs[k].shape == natural[k].shape,
          "op {}: the output {} is {}{}, the op gives {}{}", op.name, op.outputs[k], dtype_name(outputs[k].dtype), outputs[k].shape.text(),
          dtype_name(natural[k].dtype), natural[k].shape.text());
    unrounded[k].resize(static_cast<std::size_t>(natural[k].shape.count()));
    data[k] = unrounded[k].data();
  }
  op.reference(Memory(op, inputs, natural, attributes, input_data, data));
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    auto* rounded = static_cast<std::uint16_t*>(output_data[k]);
    std::transform(unrounded[k].begin(), unrounded[k].end(), rounded, math::bf16_from_f32);
  }
}

void run_reference(const Program& program, std::span<void* const> data, bool refresh) {
  const std::size_t begin = refresh ? 0 : program.refresh_count;
  const std::size_t end = refresh ? program.refresh_count : program.nodes.size();
  for (std::size_t i = begin; i < end; ++i) {
    const Node& node = program.nodes[i];
    const auto inputs = program.types(node.inputs);
    const auto outputs = program.types(node.outputs);
    std::vector<const void*> input_data;
    std::vector<void*> output_data;
    for (const TensorId id : node.inputs) input_data.push_back(data[static_cast<std::size_t>(id)]);
    for (const TensorId id : node.outputs) output_data.push_back(data[static_cast<std::size_t>(id)]);
    run_op(*node.op, inputs, outputs, node.attributes, input_data, output_data);
  }
}

}  // namespace godwit::program
