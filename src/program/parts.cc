// Ops as simpler ones: what is the same for all of them. An op's own parts stand in its own file.
#include <algorithm>

#include "program/program.h"

namespace godwit::program {

std::optional<Program> parts_of(const Op& op, std::span<const TensorType> inputs, std::span<const TensorType> outputs,
                                const Attributes& attributes) {
  std::vector<TensorType> natural(outputs.size());
  Shapes shapes(op, inputs, natural, attributes);
  op.shapes(shapes);
  Builder builder(std::string(op.name));
  std::vector<TensorId> in;
  for (std::size_t i = 0; i < inputs.size(); ++i)
    in.push_back(builder.declare("in " + std::to_string(i), Role::input, inputs[i].dtype, inputs[i].shape));
  std::vector<TensorId> made(outputs.size(), TensorId::none);
  if (!std::ranges::equal(natural, outputs)) {
    // Results that are wanted rounded: the op as it is, and casts behind it.
    made = builder.emit(op.name, in, attributes);
    for (std::size_t k = 0; k < made.size(); ++k) made[k] = builder.cast(made[k], outputs[k].dtype);
  } else if (op.parts != nullptr) {
    const Instance instance(op, inputs, outputs, attributes);
    Parts parts(instance, builder, in, made);
    op.parts(parts);
  }
  if (std::ranges::find(made, TensorId::none) != made.end()) return std::nullopt;
  for (std::size_t k = 0; k < made.size(); ++k) builder.output(made[k], std::to_string(k));
  return std::move(builder).finish();
}

}  // namespace godwit::program
