// A backend could give other bits than an op's definition: for some shape, some dtype, some instruction set, some odd value. Or it could
// say it has a kernel and quietly run another.
//
// Every op × every example × ordinary, boundary and non-finite values, through the device room as a program of one op, against the
// canonical reference, bit for bit (NaN as a class). GODWIT_BACKEND names the backend (default cpu); the kernels that ran are printed.
#include <gtest/gtest.h>

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

class Conformance : public testing::TestWithParam<std::string> {};

TEST_P(Conformance, EveryOpHasTheReferencesBits) {
  const std::string isa = GetParam();
  auto opened = device::Device::open({.backend = backend_name(), .threads = 2, .isa = isa});
  if (!opened.ok() && opened.error().message.find("no instruction set") != std::string::npos) {
    // Forcing what the machine has not must be an error, not another kernel.
    std::printf("%s: not on this machine\n", isa.c_str());
    return;
  }
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  device::Device& device = **opened;
  std::map<std::string, std::map<std::string, int>> kernels;

  for (const Op* op : program::all_ops()) {
    std::uint64_t seed = 0;
    for (const Example& example : op->examples()) {
      for (const Values values : {Values::ordinary, Values::boundary, Values::non_finite}) {
        ++seed;
        program::Builder builder("conformance");
        std::vector<TensorId> inputs, updated;
        for (std::size_t i = 0; i < example.inputs.size(); ++i) {
          inputs.push_back(builder.declare(fmt::format("in{}", i), Role::input, example.inputs[i].dtype, example.inputs[i].shape));
        }
        std::vector<TensorType> output_types(op->outputs.size());
        program::Shapes shapes(*op, example.inputs, output_types, example.attributes);
        op->shapes(shapes);
        std::map<std::size_t, device::Buffer> states;
        for (std::size_t k = 0; k < op->outputs.size(); ++k) {
          if (std::find(op->updates.begin(), op->updates.end(), op->outputs[k]) == op->updates.end()) continue;
          updated.push_back(builder.declare(fmt::format("state{}", k), Role::state, output_types[k].dtype, output_types[k].shape));
        }
        const auto outputs = builder.emit(op->name, inputs, example.attributes, updated);
        for (std::size_t k = 0; k < outputs.size(); ++k) {
          if (builder.program().tensor(outputs[k]).role == Role::temporary) builder.output(outputs[k], fmt::format("out{}", k));
        }

        std::vector<Bytes> input_bytes, expected;
        std::vector<void*> input_data, output_data;
        for (const TensorType& type : example.inputs) input_bytes.emplace_back(static_cast<std::size_t>(type.bytes()));
        for (Bytes& bytes : input_bytes) input_data.push_back(bytes.data());
        for (const TensorType& type : output_types) expected.emplace_back(static_cast<std::size_t>(type.bytes()), std::byte{0});
        for (Bytes& bytes : expected) output_data.push_back(bytes.data());
        program::Fill fill(*op, example.inputs, output_types, example.attributes, input_data, values, seed);
        if (op->fill != nullptr) {
          op->fill(fill);
        } else {
          fill.all_reals();
        }
        const std::vector<const void*> const_inputs(input_data.begin(), input_data.end());
        op->reference(program::Memory(*op, example.inputs, output_types, example.attributes, const_inputs, output_data));

        const std::string kernel = device.kernel_for(builder.program(), 0);
        ASSERT_FALSE(kernel.empty()) << op->name << ": no kernel";
        ++kernels[std::string(op->name)][kernel];
        auto prepared = device.prepare(std::move(builder).finish());
        ASSERT_TRUE(prepared.ok()) << prepared.error().message;
        device::Executable executable = std::move(prepared).value();
        for (std::size_t k = 0; k < outputs.size(); ++k) {
          if (executable.program().tensor(outputs[k]).role != Role::state) continue;
          auto buffer = device.allocate(output_types[k].bytes());
          ASSERT_TRUE(buffer.ok());
          states[k] = std::move(buffer).value();
          executable.bind(outputs[k], states[k]);
          ASSERT_TRUE(executable.write(outputs[k], Bytes(static_cast<std::size_t>(output_types[k].bytes()))).ok());
        }
        for (std::size_t i = 0; i < inputs.size(); ++i) ASSERT_TRUE(executable.write(inputs[i], input_bytes[i]).ok());
        for (int repeat = 0; repeat < 2; ++repeat) {  // what a first run leaves in scratch memory must not reach a second
          const auto run = executable.run();
          ASSERT_TRUE(run.ok()) << run.error().message;
          for (std::size_t k = 0; k < outputs.size(); ++k) {
            Bytes actual(static_cast<std::size_t>(output_types[k].bytes()));
            ASSERT_TRUE(executable.read(outputs[k], std::span(actual)).ok());
            const std::int64_t at = first_difference(output_types[k], expected[k], actual);
            std::string shapes_text;
            for (const TensorType& type : example.inputs) shapes_text += std::string(dtype_name(type.dtype)) + type.shape.text() + " ";
            EXPECT_LT(at, 0) << op->name << " " << shapes_text << "values " << static_cast<int>(values) << " seed " << seed << " kernel "
                             << kernel << ": output " << op->outputs[k] << " element " << at << " of " << output_types[k].shape.text()
                             << ": expected " << hex_of(output_types[k], expected[k], at) << ", got "
                             << hex_of(output_types[k], actual, at);
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

INSTANTIATE_TEST_SUITE_P(InstructionSets, Conformance, testing::Values("scalar", "avx2", "avx512", "avx512_bf16"),
                         [](const auto& tested) { return tested.param; });

TEST(ConformanceErrors, AForcedInstructionSetThatIsNotThereIsAnError) {
  const auto opened = device::Device::open({.backend = "cpu", .threads = 1, .isa = "sse9"});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().kind, ErrorKind::input);
  EXPECT_NE(opened.error().message.find("sse9"), std::string::npos);
}

}  // namespace
}  // namespace godwit
