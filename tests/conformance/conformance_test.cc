// A backend could give other bits than an op's definition: for some shape, some dtype, some instruction set, some odd value. Or it could
// say it has a kernel and quietly run another.
//
// Every op × every example × ordinary, boundary and non-finite values, through the device room as a program of one op, against the
// canonical reference, bit for bit (NaN as a class). GODWIT_BACKEND names the backend (default cpu), GODWIT_OP one op to try alone; the
// kernels that ran are printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <map>

#include "device/device.h"
#include "program/fill.h"
#include "program/program.h"

namespace godwit {
namespace {

using program::Dtype;
using program::Example;
using program::Op;
using program::Role;
using program::TensorId;
using program::TensorType;
using program::Values;

using Bytes = std::vector<std::byte>;

std::string backend_name() {
  const char* name = std::getenv("GODWIT_BACKEND");
  return name == nullptr ? "cpu" : name;
}

std::vector<const Op*> tried_ops() {
  std::vector<const Op*> ops(program::all_ops().begin(), program::all_ops().end());
  if (const char* one = std::getenv("GODWIT_OP"); one != nullptr) std::erase_if(ops, [&](const Op* op) { return op->name != one; });
  return ops;
}

// Index of the first element that differs, or -1.
std::int64_t first_difference(const TensorType& type, const Bytes& expected, const Bytes& actual) {
  const auto size = static_cast<std::size_t>(program::dtype_bytes(type.dtype));
  for (std::int64_t i = 0; i < type.shape.count(); ++i) {
    const std::byte* a = expected.data() + static_cast<std::size_t>(i) * size;
    const std::byte* b = actual.data() + static_cast<std::size_t>(i) * size;
    if (std::memcmp(a, b, size) == 0) continue;
    if (type.dtype == Dtype::f32) {
      float x, y;
      std::memcpy(&x, a, 4);
      std::memcpy(&y, b, 4);
      if (x != x && y != y) continue;
    }
    return i;
  }
  return -1;
}

std::string hex_of(const TensorType& type, const Bytes& bytes, std::int64_t i) {
  const auto size = static_cast<std::size_t>(program::dtype_bytes(type.dtype));
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + static_cast<std::size_t>(i) * size, size);
  if (type.dtype == Dtype::f32) return fmt::format("{:08x} ({:a})", word, std::bit_cast<float>(word));
  return fmt::format("{:x}", word);
}

// Where a matrix of weights comes from: given with the run, kept as state (a backend may lay it out as it likes), or rounded from f32
// state.
enum class Weight { input, state, rounded };

std::vector<Weight> weights_of(const Op& op, const Example& example) {
  if (op.inputs.size() < 2 || op.inputs[1] != "w" || example.inputs[1].shape.rank() < 2) return {Weight::input};
  if (example.inputs[1].dtype == Dtype::f32) return {Weight::input, Weight::state};
  return {Weight::input, Weight::state, Weight::rounded};
}

Bytes widened(const Bytes& bf16) {
  Bytes f32(2 * bf16.size());
  for (std::size_t i = 0; i < bf16.size(); i += 2) std::memcpy(f32.data() + 2 * i + 2, bf16.data() + i, 2);
  return f32;
}

// One instance of an op and what it is to compute.
struct Case {
  const Op& op;
  const Example& example;
  Values values;
  std::uint64_t seed;
  Weight weight;
  bool rounded;  // Op::rounds' outputs are bf16

  [[nodiscard]] bool rounds(std::size_t output) const {
    return rounded && std::find(op.rounds.begin(), op.rounds.end(), op.outputs[output]) != op.rounds.end();
  }
  [[nodiscard]] std::vector<TensorType> outputs() const {
    std::vector<TensorType> types(op.outputs.size());
    program::Shapes shapes(op, example.inputs, types, example.attributes);
    op.shapes(shapes);
    for (std::size_t k = 0; k < types.size(); ++k) {
      if (rounds(k)) types[k].dtype = Dtype::bf16;
    }
    return types;
  }
  [[nodiscard]] std::string text() const {
    std::string text(op.name);
    for (const TensorType& type : example.inputs) text += " " + std::string(dtype_name(type.dtype)) + type.shape.text();
    const char* const from[] = {"input", "state", "rounded state"};
    return text + fmt::format(" values {} seed {} weight {}{}", static_cast<int>(values), seed, from[static_cast<int>(weight)],
                              rounded ? " results rounded" : "");
  }
};

class ConformanceBase : public testing::Test {
 protected:
  // Runs the case on the device and compares; returns the name of the kernel.
  static std::string check(device::Device& device, const Case& one, bool verify) {
    const std::vector<TensorType> output_types = one.outputs();
    std::vector<Bytes> input_bytes, expected;
    std::vector<void*> input_data, output_data;
    for (const TensorType& type : one.example.inputs) input_bytes.emplace_back(static_cast<std::size_t>(type.bytes()));
    for (Bytes& bytes : input_bytes) input_data.push_back(bytes.data());
    for (const TensorType& type : output_types) expected.emplace_back(static_cast<std::size_t>(type.bytes()), std::byte{0});
    for (Bytes& bytes : expected) output_data.push_back(bytes.data());
    program::Fill fill(one.op, one.example.inputs, output_types, one.example.attributes, input_data, one.values, one.seed);
    one.op.fill != nullptr ? one.op.fill(fill) : fill.all_reals();
    const std::vector<const void*> const_inputs(input_data.begin(), input_data.end());
    program::run_op(one.op, one.example.inputs, output_types, one.example.attributes, const_inputs, output_data);

    program::Builder builder("conformance");
    std::vector<TensorId> inputs, updated, written;
    for (std::size_t i = 0; i < one.example.inputs.size(); ++i) {
      TensorType type = one.example.inputs[i];
      const bool is_weight = i == 1 && one.weight != Weight::input;
      if (is_weight && one.weight == Weight::rounded) {
        type.dtype = Dtype::f32;
        input_bytes[i] = widened(input_bytes[i]);
      }
      written.push_back(builder.declare(fmt::format("in{}", i), is_weight ? Role::state : Role::input, type.dtype, type.shape));
      inputs.push_back(builder.cast(written.back(), one.example.inputs[i].dtype));
    }
    for (std::size_t k = 0; k < one.op.outputs.size(); ++k) {
      if (std::find(one.op.updates.begin(), one.op.updates.end(), one.op.outputs[k]) == one.op.updates.end()) continue;
      updated.push_back(builder.declare(fmt::format("state{}", k), Role::state, output_types[k].dtype, output_types[k].shape));
    }
    const auto outputs = builder.emit(one.op.name, inputs, one.example.attributes, updated);
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      if (builder.program().tensor(outputs[k]).role == Role::temporary) builder.output(outputs[k], fmt::format("out{}", k));
    }
    program::Program program = program::hoist_refresh(std::move(builder).finish());
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      if (one.rounds(k)) program.tensor(outputs[k]).type.dtype = Dtype::bf16;
    }
    const std::string kernel = device.kernel_for(program, program.nodes.size() - 1);
    EXPECT_FALSE(kernel.empty()) << one.text() << ": no kernel";
    auto prepared = device.prepare(std::move(program));
    EXPECT_TRUE(prepared.ok()) << one.text() << ": " << prepared.error().message;
    if (!prepared.ok()) return kernel;
    device::Executable executable = std::move(prepared).value();
    std::vector<device::Buffer> states;
    for (std::size_t t = 0; t < executable.program().tensors.size(); ++t) {
      const auto id = static_cast<TensorId>(t);
      if (executable.program().tensor(id).role != Role::state) continue;
      const std::int64_t bytes = executable.program().tensor(id).type.bytes();
      auto buffer = device.allocate(bytes);
      EXPECT_TRUE(buffer.ok());
      states.push_back(std::move(buffer).value());
      executable.bind(id, states.back());
      EXPECT_TRUE(executable.write(id, Bytes(static_cast<std::size_t>(bytes))).ok());
    }
    for (std::size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(executable.write(written[i], input_bytes[i]).ok());
    EXPECT_TRUE(executable.refresh().ok());
    for (int repeat = 0; repeat < 2; ++repeat) {  // what a first run leaves in scratch memory must not reach a second
      const auto run = executable.run();
      EXPECT_TRUE(run.ok()) << run.error().message;
      for (std::size_t k = 0; k < outputs.size(); ++k) {
        Bytes actual(static_cast<std::size_t>(output_types[k].bytes()));
        EXPECT_TRUE(executable.read(outputs[k], std::span(actual)).ok());
        const std::int64_t at = first_difference(output_types[k], expected[k], actual);
        EXPECT_LT(at, 0) << one.text() << " kernel " << kernel << ": output " << one.op.outputs[k] << " element " << at << " of "
                         << output_types[k].shape.text() << ": expected " << hex_of(output_types[k], expected[k], at) << ", got "
                         << hex_of(output_types[k], actual, at);
      }
      if (!verify) continue;
      const auto evidence = device.evidence();
      EXPECT_TRUE(evidence.ok());
      if (one.values != Values::ordinary) continue;
      for (const device::Finding& finding : evidence->findings) {
        ADD_FAILURE() << one.text() << " kernel " << kernel << ": a finding in row " << finding.row << " of " << finding.tensor << ", "
                      << finding.difference << " against " << finding.bound;
      }
    }
    return kernel;
  }
};

class Conformance : public ConformanceBase, public testing::WithParamInterface<std::string> {
 protected:
  static void run_all(bool verify);
};
using ConformanceOfTheReference = ConformanceBase;

TEST_P(Conformance, EveryOpHasTheReferencesBits) {
  run_all(false);
}

// Checks could change what they check, or doubt a correct result: the same again with them, and no finding where values are ordinary.
TEST_P(Conformance, CheckedResultsHaveTheSameBitsAndNoFindings) {
  run_all(true);
}

INSTANTIATE_TEST_SUITE_P(InstructionSets, Conformance, testing::Values("scalar", "avx2", "avx512", "avx512_bf16", "wide", "tiled"),
                         [](const auto& tested) { return tested.param; });

void Conformance::run_all(bool verify) {
  const std::string isa = GetParam();
  auto opened = device::Device::open({.backend = backend_name(), .threads = 2, .isa = isa, .verify = verify, .fallback = false});
  if (!opened.ok() && opened.error().message.find("no instruction set") != std::string::npos) {
    // Forcing what the machine has not must be an error, not another kernel.
    GTEST_SKIP() << isa << ": not on this machine";
  }
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  device::Device& device = **opened;
  ASSERT_FALSE(tried_ops().empty());
  std::map<std::string, std::map<std::string, int>> kernels;
  for (const Op* op : tried_ops()) {
    std::uint64_t seed = 0;
    for (const Example& example : op->examples()) {
      for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
        ++seed;
        for (const Weight weight : weights_of(*op, example)) {
          for (const bool rounded : {false, true}) {
            if (rounded && op->rounds.empty()) continue;
            ++kernels[std::string(op->name)][check(device, {*op, example, values, seed, weight, rounded}, verify)];
          }
        }
      }
    }
  }
  std::printf("%s on %s\n", backend_name().c_str(), device.name().c_str());
  for (const auto& [op, names] : kernels) {
    for (const auto& [name, count] : names) std::printf("  %-32s %-28s %d cases\n", op.c_str(), name.c_str(), count);
  }
}

// The backend of the references has them by definition; what could go wrong is what lies around them.
TEST_F(ConformanceOfTheReference, OrdinaryValues) {
  auto opened = device::Device::open({.backend = "reference", .threads = 1, .isa = ""});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  for (const Op* op : tried_ops()) {
    const std::vector<Example> examples = op->examples();
    for (std::size_t i = 0; i < examples.size(); ++i) {
      const std::vector<Weight> weights = weights_of(*op, examples[i]);
      const bool rounded = !op->rounds.empty() && i % 2 == 1;
      EXPECT_EQ(check(**opened, {*op, examples[i], Values::ordinary, i + 1, weights[i % weights.size()], rounded}, false), "reference");
    }
  }
}

TEST(ConformanceErrors, AForcedInstructionSetThatIsNotThereIsAnError) {
  const auto opened = device::Device::open({.backend = "cpu", .threads = 1, .isa = "sse9"});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::input);
  EXPECT_NE(opened.error().message.find("sse9"), std::string::npos);
}

}  // namespace
}  // namespace godwit
