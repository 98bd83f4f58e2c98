#include "program/op.h"

#include <algorithm>

namespace godwit::program {

namespace {

std::size_t index_of(std::span<const std::string_view> names, std::string_view name, std::string_view op) {
  const auto place = std::find(names.begin(), names.end(), name);
  CHECK(place != names.end(), "op {} has no tensor named {}", op, name);
  return static_cast<std::size_t>(place - names.begin());
}

const Attribute& attribute_of(const Attributes& attributes, std::string_view name, std::string_view op) {
  const auto place = std::find_if(attributes.begin(), attributes.end(), [&](const Attribute& a) { return a.name == name; });
  CHECK(place != attributes.end(), "op {} was given no attribute {}", op, name);
  return *place;
}

}  // namespace

std::size_t Instance::input_index(std::string_view name) const {
  return index_of(op_.inputs, name, op_.name);
}
std::size_t Instance::output_index(std::string_view name) const {
  return index_of(op_.outputs, name, op_.name);
}

std::int64_t Instance::integer(std::string_view attribute) const {
  const Attribute& found = attribute_of(attributes_, attribute, op_.name);
  CHECK(std::holds_alternative<std::int64_t>(found.value), "op {}: attribute {} is not an integer", op_.name, attribute);
  return std::get<std::int64_t>(found.value);
}

double Instance::real(std::string_view attribute) const {
  const Attribute& found = attribute_of(attributes_, attribute, op_.name);
  if (const auto* integer = std::get_if<std::int64_t>(&found.value)) return static_cast<double>(*integer);
  return std::get<double>(found.value);
}

void Shapes::require(bool condition, std::string_view what) const {
  if (condition) return;
  std::string text;
  for (std::size_t i = 0; i < inputs().size(); ++i) {
    const std::string_view name = i < op().inputs.size() ? op().inputs[i] : op().inputs.back();
    text += fmt::format(" {} {}{}", name, dtype_name(inputs()[i].dtype), inputs()[i].shape.text());
  }
  CHECK(false, "op {}: {}; inputs:{}", op().name, what, text);
}

TensorId Gradient::of(std::string_view output) const {
  const TensorId id = output_gradients_[instance_.output_index(output)];
  CHECK(id != TensorId::none, "op {}: no gradient arrived at output {}", instance_.op().name, output);
  return id;
}

std::size_t Memory::check(std::string_view name, Dtype dtype, bool is_input) const {
  const std::size_t index = is_input ? input_index(name) : output_index(name);
  const TensorType& type = is_input ? inputs()[index] : outputs()[index];
  CHECK(type.dtype == dtype, "op {}: {} is {}, asked for as {}", op().name, name, dtype_name(type.dtype), dtype_name(dtype));
  return index;
}

const Op* find_op(std::string_view name) {
  for (const Op* op : all_ops()) {
    if (op->name == name) return op;
  }
  return nullptr;
}

}  // namespace godwit::program
