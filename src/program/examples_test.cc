// An op could leave an output element unwritten, depend on what its memory held before, or have examples its own rules refuse.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "program/fill.h"
#include "program/op.h"

namespace godwit::program {
namespace {

using Bytes = std::vector<std::vector<std::uint8_t>>;

Bytes memory_of(std::span<const TensorType> types, std::uint8_t poison) {
  Bytes bytes;
  for (const TensorType& type : types) bytes.emplace_back(static_cast<std::size_t>(type.bytes()), poison);
  return bytes;
}

Bytes inputs_of(const Op& op, const Example& example, std::span<const TensorType> outputs, Values values, std::uint64_t seed) {
  Bytes inputs = memory_of(example.inputs, 0xEE);
  std::vector<void*> data;
  for (auto& bytes : inputs) data.push_back(bytes.data());
  Fill fill(op, example.inputs, outputs, example.attributes, data, values, seed);
  op.fill != nullptr ? op.fill(fill) : fill.all_reals();
  return inputs;
}

Bytes run(const Op& op, const Example& example, std::span<const TensorType> output_types, const Bytes& inputs, std::uint8_t poison) {
  Bytes outputs = memory_of(output_types, poison);
  std::vector<const void*> input_data;
  std::vector<void*> output_data;
  for (const auto& bytes : inputs) input_data.push_back(bytes.data());
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (!op.updates.empty()) std::fill(outputs[i].begin(), outputs[i].end(), std::uint8_t{0});  // what is not written stays
    output_data.push_back(outputs[i].data());
  }
  op.reference(Memory(op, example.inputs, output_types, example.attributes, input_data, output_data));
  return outputs;
}

TEST(Examples, EveryOpIsComplete) {
  for (const Op* op : all_ops()) {
    SCOPED_TRACE(std::string(op->name));
    EXPECT_NE(op->shapes, nullptr);
    EXPECT_NE(op->cost, nullptr);
    EXPECT_NE(op->reference, nullptr);
    ASSERT_NE(op->examples, nullptr);
    EXPECT_GE(op->examples().size(), 2u);
    EXPECT_EQ(find_op(op->name), op);
    for (const auto& [output, input] : op->in_place) {
      EXPECT_NE(std::find(op->outputs.begin(), op->outputs.end(), output), op->outputs.end()) << output;
      EXPECT_NE(std::find(op->inputs.begin(), op->inputs.end(), input), op->inputs.end()) << input;
    }
  }
}

TEST(Examples, ReferencesWriteEveryElementAndReadNoOldOnes) {
  for (const Op* op : all_ops()) {
    SCOPED_TRACE(std::string(op->name));
    for (const Example& example : op->examples()) {
      std::vector<TensorType> outputs(op->outputs.size());
      Shapes shapes(*op, example.inputs, outputs, example.attributes);
      op->shapes(shapes);
      for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
        const Bytes inputs = inputs_of(*op, example, outputs, values, 1);
        EXPECT_EQ(inputs, inputs_of(*op, example, outputs, values, 1)) << "filling is not a pure function";
        EXPECT_EQ(run(*op, example, outputs, inputs, 0xAA), run(*op, example, outputs, inputs, 0x55));
      }
    }
  }
}

TEST(Fill, SamplesAscendAndStayInside) {
  const Op* op = find_op("rms_norm_weight_backward");
  ASSERT_NE(op, nullptr);
  bool empty = false, padding = false;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const Example example = op->examples().back();
    std::vector<TensorType> outputs(1);
    Shapes shapes(*op, example.inputs, outputs, example.attributes);
    op->shapes(shapes);
    const Bytes inputs = inputs_of(*op, example, outputs, Values::ordinary, seed);
    std::vector<std::int32_t> samples(inputs[3].size() / sizeof(std::int32_t));
    std::memcpy(samples.data(), inputs[3].data(), inputs[3].size());
    EXPECT_EQ(samples.front(), 0);
    EXPECT_TRUE(std::is_sorted(samples.begin(), samples.end()));
    EXPECT_LE(samples.back(), example.inputs[0].shape.rows());
    empty |= std::adjacent_find(samples.begin(), samples.end()) != samples.end();
    padding |= samples.back() < example.inputs[0].shape.rows();
  }
  EXPECT_TRUE(empty);
  EXPECT_TRUE(padding);
}

}  // namespace
}  // namespace godwit::program
