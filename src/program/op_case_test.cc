// An op taken out of a program could be another op: with other shapes, other kinds of inputs, another weight than the program gives it; two
// different ones could pass for one; and what it is brought could be no valid input.
#include "program/op_case.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstring>
#include <set>

#include "program/difference.h"

namespace godwit::program {
namespace {

using testing::HasSubstr;

// A rounded weight (made in the refresh part), a norm in between, and a loop through what the main part makes.
Program chain(std::int64_t width) {
  Builder builder("chain");
  const TensorId x = builder.declare("x", Role::input, Dtype::f32, {6, width});
  const TensorId samples = builder.declare("samples", Role::input, Dtype::i32, {3});
  const TensorId weight = builder.declare("weight", Role::state, Dtype::f32, {width, width});
  const TensorId scale = builder.declare("scale", Role::state, Dtype::f32, {width});
  const TensorId normed = builder.emit("rms_norm", {x, scale, samples}, {{"eps", 1e-6}})[0];
  const TensorId y = builder.emit1("linear", {builder.cast(normed, Dtype::bf16), builder.cast(weight, Dtype::bf16), samples});
  builder.output(builder.emit1("add", {y, x}), "out");
  return hoist_refresh(std::move(builder).finish());
}

std::size_t place_of(const Program& program, std::string_view op, bool in_refresh = false) {
  for (std::size_t i = in_refresh ? 0 : program.refresh_count; i < program.nodes.size(); ++i) {
    if (program.nodes[i].op->name == op) return i;
  }
  ADD_FAILURE() << "no " << op;
  return 0;
}

TEST(OpCase, AnOpAloneHasItsWeightAsTheProgramGivesIt) {
  const Program whole = chain(32);
  const OpCase one = OpCase::alone(whole, place_of(whole, "linear"));
  const Program& program = one.program();
  EXPECT_EQ(program.refresh_count, 1u);
  EXPECT_EQ(program.nodes[0].op->name, "cast");
  EXPECT_EQ(one.node().op->name, "linear");
  EXPECT_EQ(program.tensor(program.nodes[0].inputs[0]).role, Role::state);
  EXPECT_EQ(program.tensor(one.node().inputs[0]).role, Role::input) << "what the main part makes is brought";
  EXPECT_EQ(program.tensor(one.node().inputs[1]).role, Role::derived);
  EXPECT_EQ(program.tensor(one.node().outputs[0]).role, Role::output);
  EXPECT_THAT(one.text(), HasSubstr("linear bf16[6, 32] bf16[32, 32] derived"));
}

TEST(OpCase, ANodeOfTheRefreshPartStandsByItself) {
  const Program whole = chain(32);
  const OpCase one = OpCase::alone(whole, place_of(whole, "cast", true));
  EXPECT_EQ(one.program().refresh_count, 0u);
  EXPECT_EQ(one.program().tensor(one.node().inputs[0]).role, Role::state);
  EXPECT_EQ(one.program().tensor(one.node().outputs[0]).role, Role::output);
}

TEST(OpCase, KeysTellApartWhatABackendCanTellApart) {
  const Program a = chain(32), b = chain(48);
  std::set<std::string> keys;
  for (std::size_t i = 0; i < a.nodes.size(); ++i) keys.insert(OpCase::alone(a, i).key());
  EXPECT_EQ(keys.size(), a.nodes.size()) << "two casts: of state, and of what the main part makes";
  for (std::size_t i = 0; i < b.nodes.size(); ++i) keys.insert(OpCase::alone(b, i).key());
  EXPECT_EQ(keys.size(), a.nodes.size() + b.nodes.size());
  Program renamed = a;
  for (Tensor& tensor : renamed.tensors) tensor.name += "'";
  for (std::size_t i = 0; i < renamed.nodes.size(); ++i) EXPECT_TRUE(keys.contains(OpCase::alone(renamed, i).key())) << i;
  Program changed = a;
  for (Attribute& attribute : changed.nodes[place_of(a, "rms_norm")].attributes) attribute.value = 1e-5;
  EXPECT_FALSE(keys.contains(OpCase::alone(changed, place_of(a, "rms_norm")).key()));
}

// The op within the program of one op computes what the op computes by itself from the same values.
TEST(OpCase, BringsWhatTheOpIsToRead) {
  const Program whole = chain(32);
  const OpCase one = OpCase::alone(whole, place_of(whole, "linear"));
  for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
    const std::vector<Brought> brought = one.fill(values, 3);
    ASSERT_EQ(brought.size(), 3u);  // x, the weight before it is rounded, samples
    // The weight in f32 is one that rounding leaves as it is: the edges asked for reach the op.
    for (const Brought& each : brought) {
      if (one.program().tensor(each.tensor).role != Role::state) continue;
      for (std::size_t i = 0; i < each.bytes.size(); i += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, each.bytes.data() + i, 4);
        ASSERT_EQ(word & 0xFFFFu, 0u);
      }
    }
    EXPECT_EQ(one.reference(brought), one.reference(one.fill(values, 3)));
    EXPECT_NE(one.reference(brought), one.reference(one.fill(values, 4)));
  }
}

TEST(Difference, NamesTheFirstElementAndCountsThem) {
  const TensorType type{Dtype::f32, {2, 2}};
  const auto bytes = [](std::vector<float> values) {
    std::vector<std::byte> made(values.size() * 4);
    std::memcpy(made.data(), values.data(), made.size());
    return made;
  };
  const float nan = std::bit_cast<float>(0x7FC00000u), other_nan = std::bit_cast<float>(0xFFD23456u);
  EXPECT_FALSE(find_difference(type, bytes({1, 2, nan, 0}), bytes({1, 2, other_nan, 0})).has_value());
  const auto found = find_difference(type, bytes({1, 2, 3, 0}), bytes({1, 2.5f, 3, -0.0f}));
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->element, 1);
  EXPECT_EQ(found->elements, 2) << "-0 is not +0";
  EXPECT_EQ(found->expected, "2 (0x40000000)");
  EXPECT_EQ(found->computed, "2.5 (0x40200000)");

  auto a = bytes({1, nan, 3, 0}), b = bytes({1, other_nan, 3, 0}), c = bytes({1, nan, 3, -0.0f});
  EXPECT_EQ(hash_result(type, a), hash_result(type, b));
  EXPECT_FALSE(hash_result(type, a) == hash_result(type, c));
}

}  // namespace
}  // namespace godwit::program
