// A device that crashes or hangs could take the qualification with it, be taken for another op's fault, or leave the next order unanswered;
// and a result that is wrong could come back as right.
#include "qualify/stand.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "program/difference.h"

namespace godwit::qualify {
namespace {

using program::Dtype;
using program::OpCase;
using testing::HasSubstr;

std::vector<Trial> sums_and_products() {
  program::Builder builder("two ops");
  const auto x = builder.declare("x", program::Role::input, Dtype::f32, {8, 24});
  const auto w = builder.declare("w", program::Role::state, Dtype::f32, {20, 24});
  const auto samples = builder.declare("samples", program::Role::input, Dtype::i32, {2});
  const auto b = builder.declare("b", program::Role::input, Dtype::f32, {8, 20});
  builder.output(builder.emit1("add", {builder.emit1("linear", {x, w, samples}), b}), "y");
  return op_trials({std::move(builder).finish()});
}

class Stands : public testing::Test {
 protected:
  Stand& begin(std::string lie, double patience = 30) {
    StandOptions options{.name = "test stand", .subject = {{{}, {}}, std::move(lie)}, .patience_s = patience};
    stand_ = Stand::begin(trials_, options).value();
    return *stand_;
  }
  [[nodiscard]] std::size_t place(std::string_view op) const {
    return static_cast<std::size_t>(std::ranges::find(trials_, op, &Trial::op) - trials_.begin());
  }
  [[nodiscard]] Json run(std::string_view op, int repeats = 1, std::uint64_t seed = 1) const {
    return {{"do", "run"}, {"device", 0}, {"trial", place(op)}, {"values", 0}, {"seed", seed}, {"repeats", repeats}};
  }
  const std::vector<Trial> trials_ = sums_and_products();
  std::unique_ptr<Stand> stand_;
};

TEST_F(Stands, ResultsComeBackWithTheirHashes) {
  Stand& stand = begin("");
  const Trial& linear = trials_[place("linear")];
  const Json answer = stand.order(run("linear", 3)).value();
  EXPECT_FALSE(answer.contains("odd"));
  const OpCase one = OpCase::alone(linear.program, linear.program.nodes.size() - 1);
  const auto expected = one.reference(one.fill(program::Values::ordinary, 1));
  EXPECT_FALSE(
      program::find_difference(linear.program.tensor(linear.results[0]).type, expected[0], stand.result(0, linear, 0)).has_value());
  EXPECT_EQ(stand.order(run("linear")).value()["hash"], answer["hash"]);
  EXPECT_NE(stand.order(run("linear", 1, 2)).value()["hash"], answer["hash"]);
}

TEST_F(Stands, AResultThatIsAnotherOneTheSecondTimeIsOdd) {
  Stand& stand = begin("op=linear noise");
  const Trial& linear = trials_[place("linear")];
  const Json answer = stand.order(run("linear", 2)).value();
  ASSERT_TRUE(answer.contains("odd"));
  EXPECT_TRUE(
      program::find_difference(linear.program.tensor(linear.results[0]).type, stand.result(0, linear, 0), stand.result(1, linear, 0)));
  EXPECT_FALSE(stand.order(run("add", 2)).value().contains("odd"));
}

TEST_F(Stands, ACrashIsOfTheCallAndTheOpAndTheNextOrderIsAnswered) {
  Stand& stand = begin("op=linear crash");
  ASSERT_TRUE(stand.order(run("add")).ok());
  const auto crashed = stand.order(run("linear"));
  ASSERT_FALSE(crashed.ok());
  ASSERT_TRUE(stand.trouble().has_value());
  EXPECT_THAT(stand.trouble()->what, HasSubstr("Segmentation fault"));
  EXPECT_EQ(stand.trouble()->call, Call::run);
  EXPECT_EQ(stand.trouble()->trial, static_cast<std::int32_t>(place("linear")));
  EXPECT_TRUE(stand.order(run("add")).ok());
  EXPECT_FALSE(stand.trouble().has_value());
}

TEST_F(Stands, ACallThatDoesNotReturnIsGivenUp) {
  Stand& stand = begin("op=linear hang", 0.5);
  const auto hung = stand.order(run("linear"));
  ASSERT_FALSE(hung.ok());
  ASSERT_TRUE(stand.trouble().has_value());
  EXPECT_THAT(hung.error().message, HasSubstr("did not return within 0.5 s in run of linear"));
  EXPECT_TRUE(stand.order(run("add")).ok());
}

TEST_F(Stands, PairsAndWarmingSayWhatChanged) {
  const auto pair = [&](std::string_view one, std::string_view other) {
    return Json{{"do", "pair"}, {"devices", Json::array({0, 1})}, {"trials", Json::array({place(one), place(other)})}, {"seconds", 0.05}};
  };
  const auto all = [&] {
    Json list = Json::array();
    for (std::size_t i = 0; i < trials_.size(); ++i) list.push_back(i);
    return list;
  };
  const Json warm = {{"do", "warm"}, {"device", 0}, {"trials", all()}, {"seconds", 0.2}, {"seed", 1}};
  {
    Stand& stand = begin("");
    const Json paired = stand.order(pair("linear", "add")).value(), warmed = stand.order(warm).value();
    EXPECT_FALSE(paired.contains("odd"));
    EXPECT_FALSE(warmed.contains("odd"));
    EXPECT_EQ(paired["hashes"].size(), 2u);
    EXPECT_EQ(warmed["hashes"][std::to_string(place("linear"))], stand.order(run("linear")).value()["hash"]);
    double busy_s = 0;
    for (const Json& each : warmed["visits"]) busy_s += each["busy_s"].get<double>();
    EXPECT_GT(busy_s, 0.02);
  }
  {
    Stand& stand = begin("op=linear streams=2 off=1e-3");
    EXPECT_FALSE(stand.order(warm).value().contains("odd"));
    const Json paired = stand.order(pair("linear", "linear")).value();
    ASSERT_TRUE(paired.contains("odd"));
    EXPECT_EQ(paired["odd"].get<std::size_t>(), place("linear"));
  }
  {
    Stand& stand = begin("op=linear after=0.05");
    const Json warmed = stand.order(warm).value();
    ASSERT_TRUE(warmed.contains("odd"));
    EXPECT_EQ(warmed["odd"].get<std::size_t>(), place("linear"));
  }
}

TEST_F(Stands, WhatCannotBeOpenedIsAnErrorNotTheEnd) {
  device::DeviceOptions nosuch;
  nosuch.backend = "nosuch";
  StandOptions options{.name = "test stand", .subject = {{nosuch}, ""}};
  const auto stand = Stand::begin(trials_, options);
  ASSERT_TRUE(stand.ok());
  const auto opened = (*stand)->order({{"do", "open"}, {"device", 0}});
  ASSERT_FALSE(opened.ok());
  EXPECT_FALSE((*stand)->trouble().has_value());
  EXPECT_THAT(opened.error().message, HasSubstr("nosuch"));
}

}  // namespace
}  // namespace godwit::qualify
