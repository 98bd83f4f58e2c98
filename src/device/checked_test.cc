// Checks by rough arithmetic could doubt right results where numbers are far from ordinary: in a training that diverges everything would
// be in doubt, and nobody could say why.
#include <gtest/gtest.h>

#include "base/random.h"
#include "device/device.h"

namespace godwit::device {
namespace {

using program::Builder;
using program::Dtype;
using program::Role;
using program::TensorId;

class Gated : public testing::TestWithParam<Dtype> {};

TEST_P(Gated, IsNotDoubtedHoweverLargeItsNumbers) {
  constexpr std::int64_t rows = 64, width = 48;
  auto device = Device::open({.backend = "cpu", .threads = 2, .isa = "", .verify = true}).value();
  Builder builder("gated");
  const auto input = [&](const char* name) { return builder.declare(name, Role::input, Dtype::f32, {rows, width}); };
  const TensorId gate = input("gate"), up = input("up"), dy = input("dy");
  const TensorId y = builder.emit1("swiglu", {gate, up});
  const std::vector<TensorId> gradients = builder.emit("swiglu_backward", {gate, up, dy});
  builder.output(y, "y");
  builder.output(gradients[0], "dgate");
  builder.output(gradients[1], "dup");
  program::Program program = std::move(builder).finish();
  program.tensor(program.find("y")).type.dtype = GetParam();
  Executable executable = device->prepare(std::move(program)).value();
  std::uint64_t stream = 0;
  for (const float gates : {1.0f, 30.0f, 90.0f, 120.0f, 1e4f, 1e12f}) {
    for (const float others : {1e-12f, 1.0f, 1e6f, 1e12f}) {
      for (const char* name : {"gate", "up", "dy"}) {
        const RandomStream random(7, Purpose::test, ++stream);
        std::vector<float> values(rows * width);
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = (2 * random.f32(i) - 1) * (name == std::string_view("gate") ? gates : others);
        executable.write<float>(executable.program().find(name), values).value();
      }
      executable.run().value();
      const auto evidence = device->evidence().value();
      EXPECT_EQ(evidence.count, 0) << "gates of " << gates << ", others of " << others;
      for (const Finding& finding : evidence.findings)
        ADD_FAILURE() << finding.op << " " << finding.tensor << " row " << finding.row << ": " << finding.difference << " against " << finding.bound;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Gated, testing::Values(Dtype::f32, Dtype::bf16),
                         [](const auto& tested) { return std::string(program::dtype_name(tested.param)); });

}  // namespace
}  // namespace godwit::device
