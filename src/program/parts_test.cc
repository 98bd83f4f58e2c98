// Parts could give other bits than their op, for some shape or some odd value; and an op that says it has parts could have none anywhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "program/fill.h"
#include "program/program.h"

namespace godwit::program {
namespace {

using Bytes = std::vector<std::vector<std::byte>>;

Bytes memory_of(std::span<const TensorType> types) {
  Bytes bytes;
  for (const TensorType& type : types) bytes.emplace_back(static_cast<std::size_t>(type.bytes()), std::byte{0xEE});
  return bytes;
}

std::vector<void*> data_of(Bytes& bytes) {
  std::vector<void*> data;
  for (auto& each : bytes) data.push_back(each.data());
  return data;
}

// The outputs by the op's own reference.
Bytes whole(const Op& op, const Example& example, std::span<const TensorType> outputs, Bytes& inputs) {
  Bytes made = memory_of(outputs);
  const std::vector<void*> input_data = data_of(inputs), output_data = data_of(made);
  run_op(op, example.inputs, outputs, example.attributes, std::vector<const void*>(input_data.begin(), input_data.end()), output_data);
  return made;
}

// And by its parts' references.
Bytes by_parts(const Program& parts, const Bytes& inputs, std::size_t output_count) {
  Bytes memory;
  for (const Tensor& tensor : parts.tensors) memory.emplace_back(static_cast<std::size_t>(tensor.type.bytes()), std::byte{0xEE});
  for (std::size_t i = 0; i < inputs.size(); ++i) memory[i] = inputs[i];
  run_reference(parts, data_of(memory), false);
  Bytes outputs;
  for (std::size_t k = 0; k < output_count; ++k) outputs.push_back(memory[static_cast<std::size_t>(parts.find(std::to_string(k)))]);
  return outputs;
}

TEST(Parts, GiveTheBitsOfTheirOp) {
  std::vector<std::string_view> with_parts;
  for (const Op* op : all_ops()) {
    bool any = false;
    for (const Example& example : op->examples()) {
      std::vector<TensorType> natural(op->outputs.size());
      Shapes shapes(*op, example.inputs, natural, example.attributes);
      op->shapes(shapes);
      std::vector<std::vector<TensorType>> wanted = {natural};
      if (!op->rounds.empty()) wanted.push_back(natural);
      for (const std::string_view output : op->rounds) wanted.back()[shapes.output_index(output)].dtype = Dtype::bf16;
      for (const std::vector<TensorType>& outputs : wanted) {
        const std::optional<Program> parts = parts_of(*op, example.inputs, outputs, example.attributes);
        ASSERT_TRUE(parts.has_value() || outputs == natural) << op->name;
        if (!parts) continue;
        any = true;
        for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
          Bytes inputs = memory_of(example.inputs);
          const std::vector<void*> data = data_of(inputs);
          Fill fill(*op, example.inputs, outputs, example.attributes, data, values, 1);
          op->fill != nullptr ? op->fill(fill) : fill.all_reals();
          EXPECT_EQ(whole(*op, example, outputs, inputs), by_parts(*parts, inputs, outputs.size())) << op->name << "\n" << parts->text();
        }
      }
    }
    if (any) with_parts.push_back(op->name);
    EXPECT_EQ(any, op->parts != nullptr || !op->rounds.empty()) << op->name;
  }
  EXPECT_TRUE(std::ranges::find(with_parts, "embedding") != with_parts.end());
  EXPECT_TRUE(std::ranges::find(with_parts, "linear") != with_parts.end());
}

}  // namespace
}  // namespace godwit::program
