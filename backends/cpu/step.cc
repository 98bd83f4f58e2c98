#include "step.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace godwit::cpu {

std::int64_t Call::integer(std::string_view name) const {
  for (const godwit_attribute& attribute : attributes) {
    if (name == attribute.name) return attribute.is_real ? static_cast<std::int64_t>(attribute.real) : attribute.integer;
  }
  std::fprintf(stderr, "cpu backend: an op was given no attribute %.*s\n", static_cast<int>(name.size()), name.data());
  std::abort();
}

double Call::real(std::string_view name) const {
  for (const godwit_attribute& attribute : attributes) {
    if (name == attribute.name) return attribute.is_real ? attribute.real : static_cast<double>(attribute.integer);
  }
  std::fprintf(stderr, "cpu backend: an op was given no attribute %.*s\n", static_cast<int>(name.size()), name.data());
  std::abort();
}

View view_of(const godwit_tensor& tensor) {
  View view;
  view.dtype = tensor.dtype;
  view.rank = tensor.rank;
  std::copy(std::begin(tensor.shape), std::end(tensor.shape), std::begin(view.shape));
  return view;
}

Call Step::call(Pool& pool, std::byte* workspace) const {
  Call call;
  call.in = std::span(views).first(input_count);
  call.out = std::span(views).subspan(input_count);
  call.attributes = attributes;
  call.pool = &pool;
  call.workspace = workspace;
  call.weight_packed = weight_packed;
  call.packed = packed;
  call.weight_blocks = weight_blocks;
  call.verify = verify;
  return call;
}

Step step_of(const godwit_program& program, const godwit_op& op, const Kernel* kernel, std::deque<std::string>& names) {
  Step step;
  step.kernel = kernel;
  step.input_count = static_cast<std::size_t>(op.input_count);
  step.tensors.assign(op.inputs, op.inputs + op.input_count);
  step.tensors.insert(step.tensors.end(), op.outputs, op.outputs + op.output_count);
  for (const std::int32_t index : step.tensors) step.views.push_back(view_of(program.tensors[index]));
  step.attributes.assign(op.attributes, op.attributes + op.attribute_count);
  for (godwit_attribute& attribute : step.attributes) attribute.name = names.emplace_back(attribute.name).c_str();
  return step;
}

}  // namespace godwit::cpu
