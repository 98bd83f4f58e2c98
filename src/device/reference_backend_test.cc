// What could go wrong around the references: an output in its input's memory is read after it was written; a program runs before what it
// depends on was made; ops go unseen. (Their bits are tests/conformance's.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "device/device.h"

namespace godwit::device {
namespace {

using program::Builder;
using program::Dtype;
using program::Role;
using program::TensorId;

std::unique_ptr<Device> reference() {
  return Device::open({.backend = "reference", .threads = 1, .isa = ""}).value();
}

// A product reads a row again for each of its results.
TEST(ReferenceBackend, AnOutputMayLieOnAnInput) {
  const auto device = reference();
  Builder b("in place");
  const TensorId x = b.declare("x", Role::state, Dtype::f32, {4, 8}), w = b.declare("w", Role::input, Dtype::f32, {8, 8});
  const TensorId samples = b.declare("samples", Role::input, Dtype::i32, {2});
  const TensorId y = b.emit1("linear", {x, w, samples});
  b.output(y, "y");
  Executable apart = device->prepare(b.program()).value();
  Executable together = device->prepare(std::move(b).finish()).value();
  std::vector<float> values(32), weights(64, 2.0f);
  std::iota(values.begin(), values.end(), 1.0f);
  const Buffer one = device->allocate(128).value(), other = device->allocate(128).value();
  apart.bind(x, one);
  together.bind(x, other);
  together.bind(y, other);
  std::vector<std::vector<float>> results;
  for (Executable* executable : {&apart, &together}) {
    ASSERT_TRUE(executable->write(x, std::span<const float>(values)).ok());
    ASSERT_TRUE(executable->write(w, std::span<const float>(weights)).ok());
    ASSERT_TRUE(executable->write(samples, std::span<const std::int32_t>(std::vector<std::int32_t>{0, 4})).ok());
    ASSERT_TRUE(executable->refresh().ok());
    ASSERT_TRUE(executable->run().ok());
    results.push_back(executable->read<float>(y).value());
  }
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(apart.read<float>(x).value(), values);
}

TEST(ReferenceBackend, OpsAreWatchedAndTheRefreshPartComesFirst) {
  const auto device = reference();
  Builder b("watched");
  const TensorId w = b.declare("w", Role::state, Dtype::f32, {4, 4}), x = b.declare("x", Role::input, Dtype::f32, {4, 4});
  const TensorId rounded = b.cast(w, Dtype::bf16);
  const TensorId y = b.emit1("add", {x, b.cast(rounded, Dtype::f32)});
  b.output(y, "y");
  Executable executable = device->prepare(program::hoist_refresh(std::move(b).finish())).value();
  ASSERT_GT(executable.program().refresh_count, 0u);
  const Buffer state = device->allocate(64).value();
  executable.bind(w, state);
  std::vector<std::int32_t> seen;
  ASSERT_TRUE(device->watch([&](std::int32_t op) { seen.push_back(op); }));
  ASSERT_TRUE(executable.write(w, std::span<const float>(std::vector<float>(16, 1.0f))).ok());
  ASSERT_TRUE(executable.write(x, std::span<const float>(std::vector<float>(16, 2.0f))).ok());
  const auto early = executable.run();
  ASSERT_FALSE(early.ok());
  EXPECT_THAT(early.error().message, testing::HasSubstr("before its refresh part"));
  ASSERT_TRUE(executable.refresh().ok());
  ASSERT_TRUE(executable.run().ok());
  std::vector<std::int32_t> all(executable.program().nodes.size());
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(seen, all);
  EXPECT_EQ(executable.read<float>(y).value(), std::vector<float>(16, 3.0f));
}

TEST(ReferenceBackend, AnOptionItHasNotIsAnError) {
  const auto opened = Device::open({.backend = "reference", .threads = 1, .isa = "avx2"});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::input);
  EXPECT_THAT(opened.error().message, testing::HasSubstr("no instruction set to choose, not 'avx2' either"));
}

}  // namespace
}  // namespace godwit::device
