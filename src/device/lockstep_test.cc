// What could go wrong: a wrong result goes unseen, or the op behind it is blamed; a right one is called wrong, where the device leaves an
// op out or works in place.
#include "device/backends.h"
#include "device/lockstep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program/program.h"

namespace godwit::device {
namespace {

using program::Builder;
using program::Dtype;
using program::Role;
using program::TensorId;

// A cpu backend that changes a bit of memory when op `at` begins.
struct Spoiler {
  std::int32_t at = -1;
  std::byte* memory = nullptr;
  std::byte flip{1};
  void (*progress)(void*, std::int32_t) = nullptr;
  void* context = nullptr;
};
Spoiler spoiler;

godwit_backend spoiling_cpu() {
  godwit_backend table = *find_backend("cpu").value();
  table.watch = [](godwit_device* device, void (*progress)(void*, std::int32_t), void* context) {
    spoiler.progress = progress;
    spoiler.context = context;
    const auto on_op = [](void*, std::int32_t op) {
      if (op == spoiler.at) *spoiler.memory ^= spoiler.flip;
      spoiler.progress(spoiler.context, op);
    };
    find_backend("cpu").value()->watch(device, progress == nullptr ? nullptr : static_cast<void (*)(void*, std::int32_t)>(on_op), nullptr);
  };
  return table;
}

struct Chain {
  // y = x · round(w)ᵀ, z = y + y, in one program with a weight that the device packs.
  static program::Program program() {
    Builder b("chain");
    const TensorId x = b.declare("x", Role::input, Dtype::bf16, {4, 16}), w = b.declare("w", Role::state, Dtype::f32, {8, 16});
    const TensorId samples = b.declare("samples", Role::input, Dtype::i32, {2});
    const TensorId y = b.emit1("linear", {x, b.cast(w, Dtype::bf16), samples});
    const TensorId z = b.emit1("add", {y, y});
    const TensorId sum = b.emit1("add", {z, y});
    b.output(y, "y");
    b.output(z, "z");
    b.output(sum, "sum");
    return program::hoist_refresh(std::move(b).finish());
  }
  Buffer state, outputs;

  // Runs it twice.
  Result<void> run(Device& device) {
    TRY_ASSIGN(Executable executable, device.prepare(program()));
    TRY_ASSIGN(state, device.allocate(8 * 16 * 4));
    TRY_ASSIGN(outputs, device.allocate(3 * 512));
    const auto id = [&](const char* name) { return executable.program().find(name); };
    executable.bind(id("w"), state);
    std::int64_t offset = 0;
    for (const char* name : {"y", "z", "sum"}) {
      executable.bind(id(name), outputs, offset);
      offset += 512;
    }
    spoiler.memory = outputs.host() + 4 * 5;
    std::vector<float> w(8 * 16);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.37f * static_cast<float>(i % 29) - 3.0f;
    TRY(executable.write(id("w"), std::span<const float>(w)));
    TRY(executable.write(id("x"), std::span<const std::uint16_t>(std::vector<std::uint16_t>(64, 0x3fa5))));
    TRY(executable.write(id("samples"), std::span<const std::int32_t>(std::vector<std::int32_t>{0, 4})));
    for (int i = 0; i < 2; ++i) {
      TRY(executable.refresh());
      TRY(executable.run());
    }
    return {};
  }
};

TEST(Lockstep, ARightDeviceIsRight) {
  for (const char* backend : {"cpu", "reference"}) {
    int begun = 0;
    auto lockstep = Lockstep::open({.backend = backend, .threads = 2, .isa = ""}, [&] { ++begun; }).value();
    Chain chain;
    ASSERT_TRUE(chain.run(lockstep->device()).ok());
    EXPECT_FALSE(lockstep->difference().has_value()) << backend << ": " << lockstep->difference()->op;
    EXPECT_GE(lockstep->compared(), 6);
    EXPECT_EQ(begun, lockstep->compared());
  }
}

TEST(Lockstep, TheFirstWrongOpIsNamed) {
  const program::Program program = Chain::program();
  const auto last = static_cast<std::int32_t>(program.nodes.size() - 1);
  const godwit_backend table = spoiling_cpu();
  // y is spoilt after it was made, before its first reader begins: the product is to blame, not the sums behind it.
  spoiler = {.at = last - 1};
  auto lockstep = Lockstep::open(table, {.backend = "", .threads = 1, .isa = ""}).value();
  Chain chain;
  ASSERT_TRUE(chain.run(lockstep->device()).ok());
  ASSERT_TRUE(lockstep->difference().has_value());
  const OpDifference& found = *lockstep->difference();
  EXPECT_EQ(found.program, "chain");
  EXPECT_EQ(found.op, "linear");
  EXPECT_EQ(found.index, last - 2);
  EXPECT_EQ(found.tensor, "y");
  EXPECT_EQ(found.shape, "[4, 8]");
  EXPECT_EQ(found.element, 5);
  EXPECT_EQ(found.elements, 1);
  EXPECT_NE(found.expected, found.computed);
}

}  // namespace
}  // namespace godwit::device
