// A weight that a program itself changes could be packed and go stale; a rounded copy that others read could be left out; programs could
// hold copies of their own of one weight, or share what is not the same.
#include "packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "instruction_set.h"

namespace godwit::cpu {
namespace {

const Kernel* kernel_of(const char* op) {
  const auto kernels = instruction_sets().front().kernels;
  return *std::ranges::find_if(kernels, [&](const Kernel* kernel) { return std::string(kernel->op) == op; });
}

// y = x · bf16(w)ᵀ, the rounding in the refresh part; `also` is a further op of the main part.
struct Example {
  std::vector<godwit_tensor> tensors = {
      {"x", GODWIT_BF16, GODWIT_INPUT, 2, {4, 8}, 0},     {"samples", GODWIT_I32, GODWIT_INPUT, 1, {2}, 0},
      {"w", GODWIT_F32, GODWIT_STATE, 2, {6, 8}, 0},      {"w16", GODWIT_BF16, GODWIT_DERIVED, 2, {6, 8}, 0},
      {"y", GODWIT_F32, GODWIT_OUTPUT, 2, {4, 6}, 0},     {"z", GODWIT_F32, GODWIT_TEMPORARY, 2, {6, 8}, 0},
      {"dx", GODWIT_F32, GODWIT_TEMPORARY, 2, {4, 8}, 0}, {"dy", GODWIT_BF16, GODWIT_INPUT, 2, {4, 6}, 0},
  };
  enum Id { x, samples, w, w16, y, z, dx, dy };
  struct Node {
    const char* op;
    std::vector<std::int32_t> inputs, outputs;
  };
  std::vector<Node> nodes = {{"cast", {w}, {w16}}, {"linear", {x, w16, samples}, {y}}};

  std::deque<std::string> names;
  std::vector<Step> steps;
  std::vector<Packing> plan() {
    std::vector<godwit_op> ops;
    for (const Node& node : nodes) {
      ops.push_back({node.op, node.inputs.data(), static_cast<std::int32_t>(node.inputs.size()), node.outputs.data(),
                     static_cast<std::int32_t>(node.outputs.size()), nullptr, 0});
    }
    godwit_program program{};
    program.tensors = tensors.data();
    program.tensor_count = static_cast<std::int32_t>(tensors.size());
    program.ops = ops.data();
    program.op_count = static_cast<std::int32_t>(ops.size());
    program.refresh_count = 1;
    for (const godwit_op& op : ops) steps.push_back(step_of(program, op, kernel_of(op.name), names));
    return plan_packings(program, steps);
  }
};

TEST(PlanPackings, ARoundedWeightIsPackedFromItsStateAndTheCopyLeftOut) {
  Example example;
  const auto packings = example.plan();
  ASSERT_EQ(packings.size(), 1u);
  EXPECT_EQ(packings[0].weight, Example::w16);
  EXPECT_EQ(packings[0].source, Example::w);
  EXPECT_TRUE(example.steps[0].unneeded);
  EXPECT_TRUE(example.steps[1].weight_packed);
}

TEST(PlanPackings, AWeightInBlocksIsPackedAsBlocksByWhomThatServes) {
  Example example;
  example.nodes[0].op = "mxint8";
  example.nodes.push_back({"linear_backward_input", {Example::dy, Example::w16}, {Example::dx}});
  const auto packings = example.plan();
  ASSERT_EQ(packings.size(), 2u);
  EXPECT_EQ(packings[0].source, Example::w);
  EXPECT_TRUE(example.steps[1].weight_blocks);
  EXPECT_LT(packings[0].bytes, 2 * 16 * 64 * 4);  // a panel or two of 32 numbers and their scales
  // The other's layout has no blocks: it is packed from the rounded copy, which is therefore made.
  EXPECT_EQ(packings[1].source, Example::w16);
  EXPECT_FALSE(example.steps[2].weight_blocks);
  EXPECT_FALSE(example.steps[0].unneeded);
}

TEST(PlanPackings, ACopyThatOthersReadIsMade) {
  Example example;
  example.nodes.push_back({"cast", {Example::w16}, {Example::z}});
  EXPECT_EQ(example.plan().size(), 1u);
  EXPECT_FALSE(example.steps[0].unneeded);
}

TEST(PlanPackings, EachLayoutOfAWeightIsPackedOnce) {
  Example example;
  example.nodes.push_back({"linear", {Example::x, Example::w16, Example::samples}, {Example::y}});
  example.nodes.push_back({"linear_backward_input", {Example::dy, Example::w16}, {Example::dx}});
  const auto packings = example.plan();
  ASSERT_EQ(packings.size(), 2u);
  EXPECT_EQ(packings[0].steps, (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(packings[1].steps, (std::vector<std::size_t>{3}));
  EXPECT_TRUE(example.steps[0].unneeded);
}

TEST(PlanPackings, WhatTheMainPartChangesIsNotAWeight) {
  Example example;
  example.tensors[Example::w16].role = GODWIT_STATE;
  example.nodes[0] = {"cast", {Example::x}, {Example::x}};
  example.nodes.push_back({"cast", {Example::w}, {Example::w16}});
  EXPECT_TRUE(example.plan().empty());
  EXPECT_FALSE(example.steps[1].weight_packed);
}

TEST(Pack, ProgramsShareTheLayoutOfOneMemoryAndNoOther) {
  Pool pool(1);
  PackedWeights weights;
  std::vector<float> first(48, 1.0f), second(48, 1.0f);
  Example a, b, c;
  auto of_a = a.plan(), of_b = b.plan(), of_c = c.plan();
  ASSERT_TRUE(pack(of_a[0], a.steps, weights, first.data(), pool));
  ASSERT_TRUE(pack(of_b[0], b.steps, weights, first.data(), pool));
  ASSERT_TRUE(pack(of_c[0], c.steps, weights, second.data(), pool));
  EXPECT_NE(a.steps[1].packed, nullptr);
  EXPECT_EQ(a.steps[1].packed, b.steps[1].packed);
  EXPECT_NE(a.steps[1].packed, c.steps[1].packed);

  // Bound elsewhere, the layout follows; what nobody holds is given back.
  const std::weak_ptr<Mapping> shared = of_a[0].memory;
  ASSERT_TRUE(pack(of_a[0], a.steps, weights, second.data(), pool));
  EXPECT_EQ(a.steps[1].packed, c.steps[1].packed);
  EXPECT_FALSE(shared.expired());
  of_b.clear();
  EXPECT_TRUE(shared.expired());
}

TEST(Pack, StateThatMovesBetweenBuffersKeepsItsMemory) {
  Pool pool(1);
  PackedWeights weights;
  std::vector<float> states[3] = {std::vector<float>(48, 1.0f), std::vector<float>(48, 2.0f), std::vector<float>(48, 3.0f)};
  Example example;
  auto packings = example.plan();
  ASSERT_TRUE(pack(packings[0], example.steps, weights, states[0].data(), pool));
  const std::byte* first = example.steps[1].packed;
  for (int step = 1; step < 7; ++step) {
    ASSERT_TRUE(pack(packings[0], example.steps, weights, states[step % 3].data(), pool));
    EXPECT_EQ(example.steps[1].packed, first);
  }
}

}  // namespace
}  // namespace godwit::cpu
