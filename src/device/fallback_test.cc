// A program that a device does in part could give other bits than on the CPU alone: a result that crosses is read before it is there,
// weights are stale after a refresh, a part is left out. And whatever counts ops could count those of a piece.
#include "device/fallback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "device/backends.h"
#include "device/coverage.h"
#include "device/liar.h"
#include "device/lies.h"
#include "device/lockstep.h"

namespace godwit::device {
namespace {

using program::Builder;
using program::Dtype;
using program::Role;
using program::TensorId;
using testing::HasSubstr;

// The CPU without some of its ops. "rounded": results that are wanted rounded.
struct Partial {
  std::set<std::string> lacks;
  bool admits = true;  // kernel_for says so; else only prepare does
  int runs = 0;
  std::byte* wrapped = nullptr;  // the last memory that was given
  int spoil_edge = 0;            // the next run writes so many bytes beside it
  bool own_memory = false;       // the host cannot address its buffers
  bool spoil_writes = false;     // a bit of the first byte of what is written arrives as the other
} partial;

bool lacks(const godwit_program& program, const godwit_op& op) {
  if (partial.lacks.contains(op.name)) return true;
  const auto read = [&](std::int32_t tensor) { return program.tensors[tensor].dtype; };
  const bool rounded = op.output_count > 0 && read(op.outputs[0]) == GODWIT_BF16 && std::string_view(op.name) != "cast";
  return rounded && partial.lacks.contains("rounded");
}

const godwit_backend& cpu() {
  return *find_backend("cpu").value();
}

const godwit_backend& partial_cpu() {
  static godwit_backend table;
  table = cpu();
  table.kernel_for = [](godwit_device* device, const godwit_program* program, std::int32_t op) {
    const bool not_had = partial.admits && lacks(*program, program->ops[op]);
    return not_had ? nullptr : cpu().kernel_for(device, program, op);
  };
  table.prepare = [](godwit_device* device, const godwit_program* program, godwit_prepared** prepared, godwit_error* error) {
    for (std::int32_t i = 0; i < program->op_count; ++i) {
      if (lacks(*program, program->ops[i])) return GODWIT_UNSUPPORTED;
    }
    return cpu().prepare(device, program, prepared, error);
  };
  table.run = [](godwit_queue* queue, godwit_prepared* prepared, godwit_part part, godwit_buffer* arena, godwit_buffer* persistent,
                 const godwit_binding* bindings, godwit_error* error) {
    ++partial.runs;
    if (partial.spoil_edge != 0) partial.wrapped[partial.spoil_edge] ^= std::byte{1};
    partial.spoil_edge = 0;
    return cpu().run(queue, prepared, part, arena, persistent, bindings, error);
  };
  table.buffer_wrap = [](godwit_device* device, void* memory, std::int64_t bytes, godwit_buffer** buffer, godwit_error* error) {
    if (partial.own_memory) return GODWIT_UNSUPPORTED;
    partial.wrapped = static_cast<std::byte*>(memory);
    return cpu().buffer_wrap(device, memory, bytes, buffer, error);
  };
  table.buffer_host = [](godwit_buffer* buffer) { return partial.own_memory ? nullptr : cpu().buffer_host(buffer); };
  table.write = [](godwit_queue* queue, godwit_buffer* buffer, std::int64_t offset, const void* source, std::int64_t bytes,
                   godwit_error* error) {
    const godwit_status status = cpu().write(queue, buffer, offset, source, bytes, error);
    if (status == GODWIT_OK && partial.spoil_writes) static_cast<std::byte*>(cpu().buffer_host(buffer))[offset] ^= std::byte{1};
    return status;
  };
  return completed(table);
}

// A refresh part, weights that are packed, results that are rounded, one in place, an output that is read again.
struct Layer {
  static program::Program program() {
    Builder b("layer");
    const TensorId x = b.declare("x", Role::input, Dtype::f32, {8, 32});
    const TensorId w = b.declare("w", Role::state, Dtype::f32, {32, 32}), norm = b.declare("norm", Role::state, Dtype::f32, {32});
    const TensorId samples = b.declare("samples", Role::input, Dtype::i32, {2});
    const TensorId n = b.cast(b.emit("rms_norm", {x, norm, samples}, {{"eps", 1e-6}})[0], Dtype::bf16);
    const TensorId y = b.emit1("linear", {n, b.cast(w, Dtype::bf16), samples});
    const TensorId z = b.emit1("add", {y, x});
    const TensorId s = b.emit1("swiglu", {z, y});
    const TensorId again = b.emit1("linear", {b.cast(s, Dtype::bf16), b.cast(w, Dtype::bf16), samples});
    const TensorId sum = b.emit1("add", {again, z});
    b.output(z, "z");
    b.output(b.emit1("add", {sum, sum}), "y");
    return program::hoist_refresh(program::fuse_casts(std::move(b).finish()));
  }

  explicit Layer(Device& on)
      : device(on), executable(on.prepare(program()).value()), weights(on.allocate(32 * 32 * 4).value()), norm(on.allocate(512).value()) {
    executable.bind(id("w"), weights);
    executable.bind(id("norm"), norm);
  }
  [[nodiscard]] TensorId id(const char* name) const { return executable.program().find(name); }

  // Both outputs, of weights drawn from a seed.
  std::vector<float> run(int seed) {
    const auto values = [&](std::size_t count, int salt) {
      std::vector<float> list(count);
      for (std::size_t i = 0; i < count; ++i) list[i] = static_cast<float>((static_cast<int>(i) * 37 + salt * seed) % 101 - 50) / 61.0f;
      return list;
    };
    EXPECT_TRUE(executable.write(id("w"), std::span<const float>(values(32 * 32, 3))).ok());
    EXPECT_TRUE(executable.write(id("norm"), std::span<const float>(values(32, 5))).ok());
    const Result<void> refreshed = executable.refresh();
    EXPECT_TRUE(refreshed.ok()) << refreshed.error().message;
    std::vector<float> all;
    for (const int salt : {7, 11}) {  // two runs of one refresh
      EXPECT_TRUE(executable.write(id("x"), std::span<const float>(values(8 * 32, salt))).ok());
      EXPECT_TRUE(executable.write(id("samples"), std::span<const std::int32_t>(std::vector<std::int32_t>{0, 8})).ok());
      const Result<void> ran = executable.run();
      EXPECT_TRUE(ran.ok()) << ran.error().message;
      for (const char* output : {"y", "z"}) {
        const std::vector<float> made = executable.read<float>(id(output)).value();
        all.insert(all.end(), made.begin(), made.end());
      }
    }
    return all;
  }

  Device& device;
  Executable executable;
  Buffer weights, norm;
};

std::unique_ptr<Device> open(bool profile = false) {
  return Device::open(partial_cpu(), {.backend = "cpu", .threads = 2, .isa = "", .profile = profile}).value();
}

std::vector<float> expected(int seed) {
  const auto device = Device::open({.backend = "cpu", .threads = 2, .isa = ""}).value();
  return Layer(*device).run(seed);
}

const std::vector<std::string> removable = {"cast", "rms_norm", "linear", "add", "swiglu", "rounded"};

TEST(Fallback, WhateverIsLackingBitsAreTheSame) {
  const std::vector<std::vector<float>> wanted = {expected(1), expected(2)};
  for (const bool admits : {true, false}) {
    for (std::size_t set = 0; set < std::size_t{1} << removable.size(); ++set) {
      partial = {};
      partial.admits = admits;
      for (std::size_t i = 0; i < removable.size(); ++i) {
        if ((set >> i & 1) != 0) partial.lacks.insert(removable[i]);
      }
      const auto device = open();
      Layer layer(*device);
      EXPECT_EQ(layer.run(1), wanted[0]) << set << ' ' << admits;
      EXPECT_EQ(layer.run(2), wanted[1]) << set << ' ' << admits;
      EXPECT_GE(partial.runs, set == 0 ? 6 : 0);  // in one piece: two refreshes, four runs
      // rms_norm and swiglu give rounded results here: without a rounding and without a cast behind it the device cannot help with them.
      const auto lacks = [&](const char* what) { return partial.lacks.contains(what); };
      const bool rounds = !lacks("rounded") || !lacks("cast");
      const bool helps = !lacks("cast") || !lacks("linear") || !lacks("add") || (rounds && (!lacks("rms_norm") || !lacks("swiglu")));
      EXPECT_EQ(partial.runs > 0, helps) << set << ' ' << admits;
    }
  }
}

TEST(Fallback, WithMemoryOfItsOwnBitsAreTheSame) {
  for (const std::set<std::string>& lacking : {std::set<std::string>{}, {"add"}, {"linear", "cast"}, {"rms_norm", "rounded", "swiglu"}}) {
    partial = {};
    partial.lacks = lacking;
    partial.own_memory = true;
    const auto device = open();
    Layer layer(*device);
    EXPECT_EQ(layer.weights.host(), nullptr);
    EXPECT_EQ(layer.run(1), expected(1));
    EXPECT_EQ(layer.run(2), expected(2));
  }
}

// Who reads asks for what the device holds, not for the host's copy of it: a device that spoils what it is given must not look whole.
TEST(Fallback, MemoryThatIsMirroredIsReadFromTheDevice) {
  partial = {};
  partial.own_memory = true;
  const auto device = open();
  Layer layer(*device);
  alignas(GODWIT_ALIGNMENT) std::array<float, 32> memory{};
  std::iota(memory.begin(), memory.end(), 1.0f);
  const Buffer mirrored = device->wrap(memory.data(), sizeof memory).value();
  layer.executable.bind(layer.id("norm"), mirrored);
  EXPECT_EQ(layer.executable.read<float>(layer.id("norm")).value(), std::vector<float>(memory.begin(), memory.end()));
  partial.spoil_writes = true;
  const std::vector<float> there = layer.executable.read<float>(layer.id("norm")).value();
  EXPECT_EQ(there[0], std::nextafter(1.0f, 2.0f));
  EXPECT_EQ(there[1], memory[1]);
  EXPECT_EQ(memory[0], 1.0f);
}

TEST(Fallback, KernelsAndCoverageSayWhoStandsIn) {
  partial = {};
  partial.lacks = {"swiglu", "rounded"};
  const auto device = open();
  const program::Program program = Layer::program();
  const std::vector<std::string> kernels = device->kernels(program);
  Coverage coverage;
  coverage.add(*device, program);
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const std::string_view op = program.nodes[i].op->name;
    EXPECT_EQ(kernels[i].starts_with(by_cpu), op == "swiglu") << op << ": " << kernels[i];
    EXPECT_EQ(kernels[i] == "parts: rms_norm, cast", op == "rms_norm") << op << ": " << kernels[i];
  }
  EXPECT_EQ(coverage.ops, std::ssize(program.nodes));
  EXPECT_EQ(coverage.ops_elsewhere, 1);
  EXPECT_THAT(coverage.text(), HasSubstr("some by their parts: rms_norm 1; the CPU does the others: swiglu 1"));
}

TEST(Fallback, OpsAreCountedAsOfTheWholeProgram) {
  partial = {};
  partial.lacks = {"add", "rounded"};
  const auto device = open(true);
  Layer layer(*device);
  std::vector<std::int32_t> seen;
  ASSERT_TRUE(device->watch([&](std::int32_t op) { seen.push_back(op); }));
  (void)layer.run(1);
  const auto count = static_cast<std::int32_t>(layer.executable.program().nodes.size());
  const auto refresh = static_cast<std::int32_t>(layer.executable.program().refresh_count);
  std::vector<std::int32_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  for (std::int32_t op = refresh; op < count; ++op) all.push_back(op);
  EXPECT_EQ(seen, all);
  const std::vector<OpTime> times = layer.executable.op_times().value();
  for (std::int32_t op = 0; op < count; ++op) EXPECT_EQ(times[static_cast<std::size_t>(op)].runs, op < refresh ? 1 : 2) << op;
}

TEST(Fallback, FindingsAndSpoilsAreOfTheWholeProgram) {
  partial = {};
  partial.lacks = {"add"};
  const auto device = Device::open(partial_cpu(), {.backend = "cpu", .threads = 2, .isa = "", .verify = true}).value();
  Layer layer(*device);
  const auto& nodes = layer.executable.program().nodes;
  const auto last = std::find_if(nodes.rbegin(), nodes.rend(), [](const program::Node& node) { return node.op->name == "linear"; });
  const auto meant = static_cast<std::int32_t>(std::distance(last, nodes.rend())) - 1;
  godwit_spoil spoil{};
  spoil.struct_size = sizeof spoil;
  spoil.kind = GODWIT_SPOIL_ZERO;
  spoil.op_index = meant;
  spoil.rate = 1;
  spoil.count = 1;
  std::vector<std::int32_t> spoilt;
  ASSERT_TRUE(device->spoil(spoil, [&](const godwit_spoilt& told) { spoilt.push_back(told.op); }).ok());
  EXPECT_NE(layer.run(1), expected(1));
  EXPECT_EQ(spoilt, std::vector<std::int32_t>{meant});
  const Device::Evidence evidence = device->evidence().value();
  ASSERT_GE(evidence.count, 1);
  EXPECT_EQ(evidence.findings[0].program, "layer");
  EXPECT_EQ(evidence.findings[0].index, meant);
  EXPECT_EQ(evidence.findings[0].op, "linear");
  EXPECT_EQ(evidence.findings[0].tensor, layer.executable.program().tensor(nodes[static_cast<std::size_t>(meant)].outputs[0]).name);
  EXPECT_EQ(layer.run(1), expected(1));  // only once
}

TEST(Fallback, LockstepAndLiarWorkThroughIt) {
  partial = {};
  partial.lacks = {"add", "rounded"};
  const auto lockstep = Lockstep::open(partial_cpu(), {.backend = "cpu", .threads = 1, .isa = ""}).value();
  {
    Layer layer(lockstep->device());
    EXPECT_EQ(layer.run(1), expected(1));
    EXPECT_EQ(lockstep->compared(), std::ssize(layer.executable.program().nodes) * 2 - 1);  // one is of the refresh part
  }
  EXPECT_FALSE(lockstep->difference().has_value());

  Liar liar(partial_cpu());
  const auto device = Device::open(liar.table(), {.backend = "cpu", .threads = 1, .isa = "", .profile = true}).value();
  Layer layer(*device);
  EXPECT_EQ(layer.run(1), expected(1));
  for (const char* op : {"add", "linear", "swiglu"}) {
    int told = 0;
    liar.arm(flip_results({op, 1, 1}, 1, 14, [&](const OpRun& run, std::string_view) { told += run.op == op ? 1 : 0; }));
    EXPECT_NE(layer.run(1), expected(1)) << op;
    EXPECT_EQ(told, 1) << op;
    liar.disarm();
    EXPECT_EQ(layer.run(1), expected(1));
  }
}

TEST(Fallback, WhoeverWritesBesideItsBuffersIsGivenNothingMore) {
  partial = {};
  partial.lacks = {"add"};
  const auto device = open();
  Layer layer(*device);
  (void)layer.run(1);
  partial.spoil_edge = -1;
  const Result<void> ran = layer.executable.run();
  ASSERT_FALSE(ran.ok());
  EXPECT_THAT(ran.error().message, HasSubstr("run wrote just before a buffer of"));
  EXPECT_FALSE(layer.executable.run().ok());
}

}  // namespace
}  // namespace godwit::device
